"""With everything on that watches and guards, a steady step reads nothing from a device: on ``meta`` a read raises."""

import importlib.util

import pytest

from hookloop import Engine
from hookloop.testing import failing_plugin, tiny_task
from hookloop.testing.unprintable import UnprintableTensors

MODULES = ("hookloop_guards", "hookloop_schedules", "hookloop_checkpoint", "hookloop_csv", "hookloop_progress")
pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(module) is None for module in MODULES), reason="needs every plugin"
)

PLUGINS = [
    "progress",
    ("csv", {"every": "1000000 steps"}),
    ("checkpoint", {"every": "1000000 steps"}),
    "lr-monitor",
    ("early-stopping", {"monitor": "train/loss", "mode": "min"}),
    ("nan-guard", {"gradients": True}),
    "ema",
    ("freeze", {"parameters": ["0.*"], "until": "100 epochs"}),
    "clip",
    ("time-limit", {"duration": "10 min"}),
    ("gc", {"every": "2 steps"}),
    ("penalties", {"l1": 0.1, "l2": 0.1}),
]


@pytest.mark.parametrize(
    "schedule", ["cosine", ("warmup", {"length": 3, "then": {"use": "exponential", "gamma": 0.9}})]
)
def test_nothing_is_read_between_two_logging_boundaries(tmp_path, schedule):
    enough = Exception("an epoch is enough")
    name, options = schedule if isinstance(schedule, tuple) else (schedule, {})
    engine = Engine(
        tiny_task,
        loss="cross_entropy",
        optimizer=("adamw", {"lr": 0.1}),
        schedule=(name, {"unit": "step", **options}),
        plugins=[*PLUGINS, failing_plugin("on_data_exhausted", enough)],
        max_epochs=1,
        device="meta",
        clip_grad_norm=1.0,
        accumulate=2,
        log_every="1000000 steps",
        validate_every="never",
        run_dir=tmp_path / "run",
    )
    with UnprintableTensors(), pytest.raises(Exception) as caught:  # noqa: PT011 - told apart below
        engine.fit()
    assert caught.value.__cause__ is enough
