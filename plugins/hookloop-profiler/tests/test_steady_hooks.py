"""Which hooks these plugins have in the steps of a steady run: each of them costs every step."""

import pytest

from hookloop import hookimpl

IN_A_STEP = ("fetch", "batch", "step", "forward", "backward", "gradients", "optimizer", "zero_grad", "loss", "transfer")


class Watch:
    """Takes down the hooks of a plugin and of its guests in the last step."""

    role = "observer"

    def __init__(self, name):
        self.name = name
        self.hooks = set()

    @hookimpl
    def on_step_start(self, run):
        names = [each for each in dir(run.plugins.hooks) if not each.startswith("_")]
        self.hooks = {
            hook
            for hook in names
            if any(word in hook for word in IN_A_STEP)
            and not any(stage in hook for stage in ("validation", "test", "predict"))
            and any(each.partition(":")[0] == self.name for each in run.plugins.chain(hook))
        }


@pytest.mark.parametrize(
    ("name", "options", "hooks"),
    [
        ("throughput", {"units": {"pixels": 4}}, set()),
        ("flops", {}, {"on_fetch_start"}),
        ("summary", {}, set()),
        ("slow-rank", {}, set()),
        ("profiler", {"wait": 2, "warmup": 1, "active": 1}, {"on_step_end"}),
        ("hook-times", {"trace_after_steps": 1, "trace_steps": 2}, {"on_step_end"}),
        ("memory-snapshot", {}, {"on_step_end"}),
        (
            "timing",
            {"window": 2, "warmup": 0},
            {"on_fetch_start", "on_fetch_end", "on_step_start", "on_step_end", "on_optimizer_step_skipped"},
        ),
    ],
)
def test_a_steady_step_has_these_hooks_and_no_other(tiny_run, fake_clock, name, options, hooks):
    watch = Watch(name)
    tiny_run([(name, options), ("watch", watch)], steps=12, epochs=1, clock=fake_clock)
    assert watch.hooks == hooks
