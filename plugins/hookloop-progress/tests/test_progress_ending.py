"""What a run came to: the tables by themselves, and who shows them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from hookloop_progress import ending
from hookloop_progress.view import View

ENDED = View(
    fitting=True,
    stage="train",
    step=540,
    steps=540,
    epoch=12,
    epoch_number=12,
    epochs=12,
    batch=45,
    batches=45,
    evaluated=0,
    evaluations=None,
    metrics={},
    per_second=213.4,
    eta_seconds=0.0,
    elapsed_seconds=7.934,
    outcome="completed",
    stop_reason=None,
)

HISTORY = [
    {"step": 20, "epoch": 0, "val/loss": 0.5, "train/loss": 0.75},
    {"step": 45, "epoch": 1, "val/loss": float("nan"), "train/loss": 0.5},
    {"step": 90, "epoch": 2, "val/loss": 0.25, "train/loss": 0.25},
]


def changed(**values):
    return View(**{name: values.get(name, getattr(ENDED, name)) for name in View.__dataclass_fields__})


def test_the_first_line_says_how_far_it_came_and_how_fast():
    assert ending.headline(ENDED) == "completed: 540/540 steps, 12/12 epochs in 7.93 s, 213 it/s"


def test_a_run_that_was_stopped_says_why():
    view = changed(outcome="stopped", stop_reason="no better for 3 epochs", step=90, epoch=2, elapsed_seconds=3700.0)
    assert ending.headline(view).startswith("stopped (no better for 3 epochs): 90/540 steps, 2/12 epochs in 1:01:40")


def test_an_evaluation_on_its_own_counts_its_batches():
    view = changed(fitting=False, stage="test", evaluated=3, evaluations=3, per_second=None)
    assert ending.headline(view) == "completed: test of 3/3 batches in 7.93 s"


def test_a_run_that_failed_at_once_has_no_counts():
    view = changed(fitting=False, stage="", outcome="failed", elapsed_seconds=0.5, per_second=None)
    assert ending.headline(view) == "failed in 0.50 s"


def test_of_a_validation_the_lowest_and_the_highest_are_shown_with_their_epoch():
    table = ending.metrics_table({"train/loss": 0.25, "val/loss": 0.25}, HISTORY, None, 80)
    assert [line.split() for line in table.splitlines()] == [
        ["metric", "last", "lowest", "highest"],
        ["train/loss", "0.25"],
        ["val/loss", "0.25", "0.25", "at", "epoch", "2", "0.5", "at", "step", "20"],
    ]


def test_metrics_of_the_machine_are_left_out_unless_asked_for():
    metrics = {"system/cpu/mean": 5.0, "time/step": 0.1, "lr/adamw": 0.1, "progress/steps": 9, "val/loss": 0.25}
    assert "system" not in ending.metrics_table(metrics, HISTORY, None, 80)
    assert len(ending.metrics_table(metrics, HISTORY, None, 80).splitlines()) == 2
    assert "system" in ending.metrics_table(metrics, HISTORY, ("system/cpu/mean",), 80)


def test_many_metrics_are_cut():
    metrics = {f"val/{number}": 0.5 for number in range(50)}
    assert ending.metrics_table(metrics, [], None, 80).splitlines()[-1].strip() == "30 others"


def test_the_five_slowest_plugins_are_shown_and_the_rest_together():
    table = ending.plugins_table({f"plugin-{number}": float(number) for number in range(1, 9)}, 100.0, 80)
    assert [line.split()[0] for line in table.splitlines()] == [
        "plugin", "plugin-8", "plugin-7", "plugin-6", "plugin-5", "plugin-4", "3",
    ]  # fmt: skip
    assert table.splitlines()[-1].split() == ["3", "others", "6", "s", "6.0%"]


@pytest.mark.parametrize("columns", [60, 80])
def test_no_line_of_a_table_is_wider_than_asked(columns):
    metrics = {"val/" + "a long name " * 9: -1.234567e-300}
    history = [{"step": 1, "epoch": 1, **metrics}] * 2
    assert max(map(len, ending.metrics_table(metrics, history, None, columns).splitlines())) <= columns


def test_where_things_are(tmp_path):
    directory = tmp_path / "run"
    (directory / "checkpoints" / "best").mkdir(parents=True)
    (directory / "metrics.csv").touch()
    (directory / ".hidden").touch()
    text = ending.places(directory, directory / "checkpoints" / "best", Path("/elsewhere/last"), 200)
    assert text.splitlines() == [
        f"directory  {directory}",
        "best       checkpoints/best",
        "last       /elsewhere/last",
        "files      checkpoints/, metrics.csv",
    ]


def test_many_files_are_wrapped_and_cut(tmp_path):
    for number in range(40):
        (tmp_path / f"{number:02}-a-file-of-some-length.csv").touch()
    lines = ending.places(tmp_path, None, None, 80).splitlines()[1:]
    assert lines[-1].endswith(" …")
    assert max(len(line) for line in lines if str(tmp_path) not in line) <= 80


RUN = """
import torch
from hookloop import SupervisedTask

def build():
    batch = (torch.ones(4, 2), torch.ones(4, 1))
    return SupervisedTask(torch.nn.Linear(2, 1), [batch] * 3, val=[batch])
"""

CONFIG = """
[run]
max_epochs = 2
device = "cpu"
[task]
use = "task.py:build"
[loss]
use = "mse"
[optimizer]
use = "sgd"
[plugins.progress]
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    (tmp_path / "task.py").write_text(RUN)
    (tmp_path / "run.toml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*words):
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True, timeout=120)


def test_the_command_line_shows_the_tables_once(place):
    done = call("-m", "hookloop", "fit", "run.toml")
    assert done.stdout.count("lowest") == 1
    assert [line.split("=")[0] for line in done.stderr.splitlines()] == ["model", "step", "step", "outcome"]


def test_a_command_that_is_to_be_quiet_shows_nothing(place):
    done = call("-m", "hookloop", "fit", "run.toml", "-q")
    assert (done.stdout, done.stderr) == ("", "")


def test_python_shows_them_too_also_beside_the_modules_of_the_command_line(place):
    script = (
        "import hookloop.cli.running\n"
        "from task import build\n"
        "from hookloop import Engine\n"
        "Engine(build(), loss='mse', optimizer='sgd', plugins=['progress'], max_epochs=2, run_dir='x').fit()\n"
    )
    (place / "script.py").write_text(script)
    assert call("script.py").stderr.count("lowest") == 1


def test_a_summary_that_is_not_wanted_is_not_shown(place):
    script = (
        "from task import build\n"
        "from hookloop import Engine\n"
        "plugins = [('progress', {'summary': False})]\n"
        "Engine(build(), loss='mse', optimizer='sgd', plugins=plugins, max_epochs=2, run_dir='x').fit()\n"
    )
    (place / "script.py").write_text(script)
    shown = call("script.py").stderr.splitlines()
    assert [re.split(r"[=\s]", line)[0] for line in shown] == ["step", "step", "outcome"]
