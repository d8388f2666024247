"""The plugin in an engine: where it shows what, its options, its thread, and its documentation."""

import inspect
import logging
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from hookloop import Engine, PluginError, SupervisedTask, hookimpl
from hookloop_progress import Progress, bars

ROOT = Path(__file__).parents[3]
WORD = re.compile(r"[^\s=]+=[^\s=]+")


def fit(tmp_path, *plugins, options=None, batches=50, val=None, **run):
    batch = (torch.randn(8, 4), torch.randn(8, 1))
    task = SupervisedTask(torch.nn.Linear(4, 1), [batch] * batches, val=val and [batch] * val)
    engine = Engine(
        task,
        loss="mse",
        optimizer=("sgd", {"lr": 0.01}),
        plugins=[("progress", options or {}), *plugins],
        run_dir=tmp_path / "run",
        device="cpu",
        **{"max_epochs": 2, **run},
    )
    return engine.fit()


def display_threads():
    return [thread for thread in threading.enumerate() if thread.name == "hookloop-progress"]


def test_without_a_terminal_there_are_lines_on_stderr(tmp_path, capfd):
    fit(tmp_path, val=3)
    out, err = capfd.readouterr()
    assert out == ""
    assert "\r" not in err
    assert "\x1b" not in err
    model, first, second, last, *tables = err.splitlines()
    assert model == "model=Linear parameters=5 trainable=5 bytes=20 device=cpu precision=fp32"
    assert first.startswith("step=50/100 epoch=1/2 train/loss=")
    assert "val/loss=" in first
    assert second.startswith("step=100/100 epoch=2/2 ")
    assert last.startswith("outcome=completed step=100/100 epoch=2/2 ")
    assert all(WORD.fullmatch(word) for line in (model, first, second, last) for word in line.split())
    assert [line.split()[0] for line in tables if line[:1].strip()] == [
        "metric", "train/loss", "val/loss", "plugin", "progress", "directory", "files",
    ]  # fmt: skip
    assert max(len(line) for line in tables if str(tmp_path) not in line) <= 80


def test_two_thousand_steps_into_a_pipe_take_a_few_hundred_bytes(tmp_path):
    script = """
import sys, torch
from hookloop import Engine, SupervisedTask
task = SupervisedTask(torch.nn.Linear(4, 1), [(torch.randn(8, 4), torch.randn(8, 1))] * 2000)
run = {"max_epochs": 1, "log_every": "1 step", "run_dir": sys.argv[1]}
Engine(task, loss="mse", optimizer="sgd", plugins=["progress"], **run).fit()
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "run")], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    assert done.stderr.splitlines()[1].startswith("step=2000/2000 ")
    assert done.stderr.count("\n") < 15
    assert len(done.stderr) < 1000


class WhoReports:
    """Notes who has steps reported after each."""

    def __init__(self):
        self.chains = []

    @hookimpl
    def on_step_end(self, run):
        self.chains.append(run.plugins.chain("report"))


@pytest.mark.parametrize(("style", "after"), [("lines", ["progress"]), ("rich", [])])
def test_bars_look_for_themselves_and_cost_a_step_nothing_after_the_first(tmp_path, style, after):
    who = WhoReports()
    result = fit(tmp_path, who, options={"style": style}, batches=3, max_epochs=2)
    assert who.chains == [["progress"], *[after] * 5]
    assert ("report" in result.plugin_seconds["progress"]) is True


def test_a_plugin_that_showed_bars_shows_lines_in_the_next_run(tmp_path, capfd):
    plugin = Progress(Progress.Config(style="rich", summary=False))
    batch = (torch.ones(2, 4), torch.ones(2, 1))
    for number, style in enumerate(["rich", "lines", "rich"]):
        plugin.config = plugin.config.model_copy(update={"style": style})
        capfd.readouterr()
        run = {"loss": "mse", "optimizer": "sgd", "run_dir": tmp_path / str(number), "max_epochs": 2}
        Engine(SupervisedTask(torch.nn.Linear(4, 1), [batch] * 3), plugins=[plugin], **run).fit()
        err = capfd.readouterr().err
        assert ("step=3/6 epoch=1/2" in err, "100%" in err) == (style == "lines", style == "rich")


def test_lines_come_by_the_clock_of_the_run(tmp_path, capfd):
    clock = Moving()
    options = {"interval_seconds": 20, "summary": False}
    fit(tmp_path, Advance(clock, 1.0), options=options, max_epochs=1, clock=clock)
    assert [line.split()[0] for line in capfd.readouterr().err.splitlines()] == [
        "step=20/50",
        "step=40/50",
        "step=50/50",
        "outcome=completed",
    ]


def test_a_long_validation_has_lines_too(tmp_path, capfd):
    clock = Moving()
    fit(tmp_path, Advance(clock, 0.0, 6.0), val=4, max_epochs=1, clock=clock)
    lines = capfd.readouterr().err.splitlines()[1:3]
    assert [line.split()[2] for line in lines] == ["validate=2/4", "validate=4/4"]


class Moving:
    now = 0.0

    def __call__(self):
        return self.now


class Advance:
    """Moves the clock, before the display looks at it."""

    role = "observer"
    before = ("progress",)

    def __init__(self, clock, step_seconds, batch_seconds=0.0):
        self.clock, self.step_seconds, self.batch_seconds = clock, step_seconds, batch_seconds

    @hookimpl
    def on_step_end(self):
        self.clock.now += self.step_seconds

    @hookimpl
    def on_validation_batch_end(self):
        self.clock.now += self.batch_seconds


def test_only_the_metrics_asked_for_are_shown_in_that_order(tmp_path, capfd):
    fit(tmp_path, val=2, options={"metrics": ["val/loss", "no/such", "train/loss"]}, max_epochs=1)
    words = capfd.readouterr().err.splitlines()[1].split()
    assert [word.split("=")[0] for word in words][:4] == ["step", "epoch", "val/loss", "train/loss"]
    assert "no/such" not in " ".join(words)


def test_other_ranks_are_silent(tmp_path, capfd):
    class SecondRank:
        role = "observer"
        before = ("progress",)

        @hookimpl
        def on_run_start(self, run):
            run.rank = 1

    fit(tmp_path, SecondRank(), val=2)
    assert capfd.readouterr().err == ""


def test_a_run_without_stderr_is_silent(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert fit(tmp_path).outcome == "completed"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_the_thread_ends_and_streams_are_put_back_when_a_run_fails(tmp_path, capfd, error):
    before = sys.stdout, sys.stderr

    class Fail:
        @hookimpl
        def on_step_end(self, run):
            assert display_threads()
            raise error

    with pytest.raises((PluginError, KeyboardInterrupt)):
        fit(tmp_path, Fail(), options={"style": "rich"})
    assert (sys.stdout, sys.stderr) == before
    assert display_threads() == []


def test_the_thread_ends_when_a_run_completes(tmp_path, capfd):
    fit(tmp_path, options={"style": "rich"})
    assert display_threads() == []
    assert "100%" in capfd.readouterr().err


def test_a_run_that_fails_before_it_is_ready_shows_nothing(tmp_path, capfd):
    with pytest.raises(Exception, match="nothing ends this run"):
        fit(tmp_path, max_epochs=None)
    assert capfd.readouterr().err == ""


def test_a_display_that_fails_ends_with_a_warning_and_training_goes_on(tmp_path, capfd, caplog, monkeypatch):
    monkeypatch.setattr(bars, "render", lambda view, console: 1 / 0)
    with caplog.at_level(logging.WARNING, "hookloop.progress"):
        result = fit(tmp_path, options={"style": "rich", "refresh_hz": 10}, batches=500)
    assert result.outcome == "completed"
    assert [record.getMessage() for record in caplog.records if "progress" in record.name] == [
        "the progress bars failed and are switched off; training goes on"
    ]
    assert display_threads() == []
    assert "completed: 1000/1000 steps" in capfd.readouterr().err


def test_one_instance_can_show_several_runs(tmp_path, capfd):
    progress = Progress(Progress.Config())
    for name in ("a", "b"):
        batch = (torch.randn(8, 4), torch.randn(8, 1))
        task = SupervisedTask(torch.nn.Linear(4, 1), [batch] * 3, test=[batch] * 2)
        engine = Engine(
            task, loss="mse", optimizer="sgd", plugins=[progress], max_epochs=1, run_dir=tmp_path / name, device="cpu"
        )
        engine.fit()
        engine.test()
    lasts = [line for line in capfd.readouterr().err.splitlines() if line.startswith("outcome")]
    assert [line.split()[1] for line in lasts] == ["step=3/3", "test=2/2"] * 2


@pytest.mark.parametrize(
    "options", [{"refresh_hz": 11}, {"refresh_hz": 0}, {"interval_seconds": 0}, {"style": "tqdm"}, {"intervall": 1}]
)
def test_wrong_options_are_refused_before_anything_runs(tmp_path, options):
    with pytest.raises(Exception, match=next(iter(options))):
        fit(tmp_path, options=options)
    assert not (tmp_path / "run").exists()


def test_importing_the_plugin_imports_neither_torch_nor_rich():
    script = "import sys, hookloop_progress; assert not {'torch', 'rich'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_weights_are_the_same_with_and_without_it(tmp_path, capfd):
    def weights(plugins):
        torch.manual_seed(0)
        batch = (torch.randn(8, 4), torch.randn(8, 1))
        model = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Linear(4, 1))
        Engine(
            SupervisedTask(model, [batch] * 20, val=[batch]),
            loss="mse",
            optimizer="sgd",
            plugins=plugins,
            max_epochs=2,
            runs_dir=tmp_path,
            device="cpu",
        ).fit()
        return model[1].weight.detach()

    assert torch.equal(weights([]), weights([("progress", {"style": "rich", "refresh_hz": 10})]))


@pytest.mark.parametrize("page", ["plugins/hookloop-progress/README.md", "docs/plugins/progress.md"])
def test_the_table_of_options_is_that_of_the_config(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert rows == [option_row(name, field) for name, field in Progress.Config.model_fields.items()]


def option_row(name, field):
    default = "" if field.default is None else f"`{field.default!r}`".replace("'", '"')
    return f"| `{name}` | {default} | {' '.join(inspect.cleandoc(field.description).split())} |"
