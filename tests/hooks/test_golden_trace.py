"""The order of every event, written down: a change of it must show in `golden_trace.txt` and be meant."""

import os
import signal
from pathlib import Path

import pytest
import torch

from hookloop import hookimpl
from hookloop.hookspecs import SPECIFICATIONS

GOLDEN = Path(__file__).with_name("golden_trace.txt")
WRITE = "HOOKLOOP_WRITE_GOLDEN"


class At:
    """Does something in ``on_step_end`` of one step."""

    role = "actor"

    def __init__(self, step, action):
        self.step, self.action = step, action

    @hookimpl
    def on_step_end(self, run):
        if run.step == self.step:
            self.action(run)


def log_everything(run):
    figure = type("Figure", (), {})()
    run.log_text("text", "hello")
    run.log_image("image", torch.zeros(2, 2))
    run.log_figure("figure", figure)
    run.log_histogram("histogram", [1.0, 2.0])
    run.log_artifact(run.directory / "config.toml")


def fail(run):
    raise RuntimeError("boom")


def press_ctrl_c(run):
    os.kill(os.getpid(), signal.SIGINT)


def press_it_twice(run):
    press_ctrl_c(run)
    press_ctrl_c(run)


def terminate(run):
    os.kill(os.getpid(), signal.SIGTERM)


SCENARIOS = {
    "fit: 2 epochs of 3 batches, accumulate = 2, validation each epoch": {"steps": 2, "accumulate": 2, "drop": 1},
    "fit: a schedule by step, validation every 2 steps": {
        "epochs": 1,
        "steps": 2,
        "validate_every": "2 steps",
        "schedule": ("constant", {"unit": "step"}),
    },
    "fit: a plugin asks to stop after the first step": {"at": (1, lambda run: run.request_stop("enough"))},
    "fit: max_steps in the middle of an epoch": {"max_steps": 2},
    "fit: texts, images, figures, histograms and files": {"at": (1, log_everything), "epochs": 1, "steps": 2},
    "fit: an exception": {"at": (2, fail), "raises": Exception},
    "fit: Ctrl-C": {"at": (1, press_ctrl_c)},
    "fit: Ctrl-C twice": {"at": (1, press_it_twice), "raises": KeyboardInterrupt},
    "fit: SIGTERM": {"at": (3, terminate)},
    "test": {"commands": ("test",)},
    "predict": {"commands": ("predict",)},
}


def trace_of(recorder):
    return [f"{call.hook} {counted(call.counters)}".rstrip() for call in recorder.calls]


def counted(counters):
    names = ("epoch", "step", "batch_index", "samples")
    return "/".join(str(counters[name]) for name in names) if counters else ""


def run_scenario(make_recorder, tiny_run, *, at=None, raises=None, drop=0, **keywords):
    from hookloop.testing.tiny import tiny_task

    recorder = make_recorder()
    plugins = [recorder, *([At(*at)] if at else [])]
    if drop:  # the last update of an epoch gets one micro-batch less than the others
        keywords["task"] = lambda: tiny_task(keywords["steps"] * keywords["accumulate"] - drop)
    if raises:
        with pytest.raises(raises):
            tiny_run(plugins, **keywords)
    else:
        tiny_run(plugins, **keywords)
    return trace_of(recorder)


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    from hookloop.testing.recorder import HookRecorder
    from hookloop.testing.tiny import TinyRun

    tiny_run = TinyRun(tmp_path_factory.mktemp("golden"))
    return {name: run_scenario(HookRecorder, tiny_run, **scenario) for name, scenario in SCENARIOS.items()}


def test_every_event_comes_in_the_order_that_is_written_down(traces):
    text = "hook epoch/step/batch_index/samples\n"
    text += "".join(f"\n## {name}\n" + "\n".join(lines) + "\n" for name, lines in traces.items())
    if os.environ.get(WRITE):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text(), f"if the new order is meant, run this test with {WRITE}=1 and read the change"


def test_every_hook_fires_in_one_of_the_runs_or_has_a_reason_not_to(traces):
    fired = {line.split()[0] for lines in traces.values() for line in lines}
    specified = {name for each in SPECIFICATIONS for name, f in vars(each).items() if hasattr(f, "__hookloop__")}
    not_of_the_engine = {"on_checkpoint_save", "on_checkpoint_saved", "on_checkpoint_load", "on_checkpoint_loaded"}
    elsewhere = {"add_commands", "on_optimizer_step_skipped", "write_rows"}  # tests/cli, tests/hooks/test_each_hook.py
    assert specified - fired == not_of_the_engine | elsewhere
