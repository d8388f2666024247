"""A real notebook, executed by a real kernel: one output, written over, and small."""

import logging
import sys
import types

import pytest
import torch

from hookloop import ConfigError, Engine, SupervisedTask
from hookloop_progress import notebook
from hookloop_progress.plugin import style_on

CELL = """
import time, torch
from hookloop import Engine, SupervisedTask, hookimpl
torch.set_num_threads(1)
batch = (torch.ones(8, 4), torch.ones(8, 1))

class Slow:
    @hookimpl
    def on_step_end(self):
        time.sleep(0.004)

def fit(name, *plugins, **run):
    task = SupervisedTask(torch.nn.Linear(4, 1), [batch] * 50, val=[batch])
    run = {"max_epochs": 4, "run_dir": name, "log_every": "1 step", "device": "cpu", **run}
    return Engine(task, loss="mse", optimizer="sgd", plugins=["progress", Slow(), *plugins], **run).fit()

result = fit("first")
"""

FAILING = """
class Fail:
    @hookimpl
    def on_step_end(self, run):
        if run.step == 30:
            raise ValueError("thirty is enough")

fit("second", Fail())
"""


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The cells after they were run, and how often an output was written over."""
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    updates = []

    class Client(nbclient.NotebookClient):
        def process_message(self, msg, cell, cell_index):
            if msg["msg_type"] == "update_display_data":
                updates.append(msg["content"]["data"]["text/plain"])
            return super().process_message(msg, cell, cell_index)

    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL), nbformat.v4.new_code_cell(FAILING)])
    place = tmp_path_factory.mktemp("notebook")
    resources = {"metadata": {"path": str(place)}}
    Client(book, timeout=120, kernel_name="python3", allow_errors=True, resources=resources).execute()
    return book.cells, updates


@pytest.mark.filterwarnings("ignore")
def test_a_cell_has_one_output_that_was_written_over(executed):
    (cell, _), _ = executed
    assert [output.output_type for output in cell.outputs] == ["display_data"], cell.outputs
    text = cell.outputs[0]["data"]["text/plain"]
    assert list(cell.outputs[0]["data"]) == ["text/plain"]
    assert len(text) < 3000
    assert max(map(len, [line for line in text.splitlines() if not line.startswith("directory")])) <= 80
    assert "\x1b" not in text
    lines = text.splitlines()
    assert lines[0].startswith("model  Linear, 5 parameters")
    assert "100%  200/200" in text
    assert "completed: 200/200 steps, 4/4 epochs" in text
    assert "val/loss" in text
    assert lines[-1].startswith("files ")


def test_it_is_written_over_at_most_four_times_a_second(executed):
    (cell, _), updates = executed
    seconds = float(cell.outputs[0]["data"]["text/plain"].partition(" epochs in ")[2].split()[0])
    mine = [text for text in updates if "/200" in text and "failed" not in text]
    assert 2 <= len(mine) <= 4 * (seconds + 3) + 2


def test_a_failure_shows_the_last_state_above_the_error(executed):
    (_, cell), _ = executed
    assert [output.output_type for output in cell.outputs] == ["display_data", "error"]
    text = cell.outputs[0]["data"]["text/plain"]
    assert "30/200" in text
    assert "failed: 30/200 steps" in text


# Without a kernel.


class Terminal:
    def isatty(self):
        return False


def with_shell(monkeypatch, shell):
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))


def test_a_kernel_makes_a_notebook_and_a_terminals_shell_does_not(monkeypatch):
    with_shell(monkeypatch, types.SimpleNamespace(kernel=object()))
    assert style_on("auto", Terminal(), {}) == "notebook"
    assert style_on("lines", Terminal(), {}) == "lines"
    with_shell(monkeypatch, types.SimpleNamespace())
    assert style_on("auto", Terminal(), {}) == "lines"
    with_shell(monkeypatch, None)
    assert style_on("auto", Terminal(), {}) == "lines"


def test_a_notebook_that_was_asked_for_needs_ipython(monkeypatch):
    monkeypatch.setattr("hookloop_progress.plugin.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="needs IPython, which is not installed: use style = 'auto'"):
        style_on("notebook", Terminal(), {})


class Handle:
    """What IPython gives for a display that can be written over."""

    def __init__(self, fails_after):
        self.shown, self.fails_after = [], fails_after

    def update(self, data, raw):
        if len(self.shown) == self.fails_after:
            raise RuntimeError("the front end is gone")
        self.shown.append(data["text/plain"])


def fit(tmp_path, monkeypatch, handle, **options):
    pytest.importorskip("IPython")
    monkeypatch.setattr("IPython.display.display", lambda *given, **named: handle)
    batch = (torch.ones(8, 4), torch.ones(8, 1))
    task = SupervisedTask(torch.nn.Linear(4, 1), [batch] * 300)
    plugins = [("progress", {"style": "notebook", **options})]
    run = {"max_epochs": 1, "run_dir": tmp_path / "run", "device": "cpu"}
    return Engine(task, loss="mse", optimizer="sgd", plugins=plugins, **run).fit()


def test_a_display_that_fails_ends_with_a_warning_and_training_goes_on(tmp_path, monkeypatch, caplog):
    with caplog.at_level(logging.WARNING, "hookloop.progress"):
        assert fit(tmp_path, monkeypatch, Handle(0)).outcome == "completed"
    messages = [record.getMessage() for record in caplog.records]
    assert messages == ["the progress display failed and is switched off; training goes on"]


def test_without_a_summary_only_the_bars_and_the_outcome_are_left(tmp_path, monkeypatch):
    handle = Handle(99)
    fit(tmp_path, monkeypatch, handle, summary=False)
    assert handle.shown[-1].startswith("steps ")
    assert handle.shown[-1].splitlines()[-1].startswith("completed: 300/300 steps, 1/1 epochs")


def test_it_is_never_faster_than_four_times_a_second():
    display = notebook.Notebook(lambda: None, "", str, 10.0)
    assert display._period_seconds == 0.25
