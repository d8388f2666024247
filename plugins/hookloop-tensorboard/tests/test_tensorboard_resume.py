"""Killed and resumed, a run ends with the points of one that was never stopped: none twice, and none missing."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hookloop import hookimpl
from hookloop_tensorboard.protos import Status

SCRIPT = Path(__file__).with_name("tensorboard_training.py")
TIMEOUT_SECONDS = 120


@pytest.fixture(scope="module")
def training():
    spec = importlib.util.spec_from_file_location("tensorboard_training", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def whole(training, tmp_path, board):
    """What a run that was never stopped has written."""
    training.train(tmp_path / "whole")
    return board(tmp_path / "whole" / "tensorboard")


class Stop:
    """Breaks off at a hook, as a kill does for all that the next process can see: what waits to be written is lost."""

    role = "observer"

    def __init__(self, hook, step):
        self.hook, self.step = hook, step

    def strike(self, run):
        if run.step == self.step:
            plugin = run.plugins["tensorboard"]
            plugin.board.points, plugin.board.held = {}, []
            plugin.about.said = []
            raise ConnectionError

    @hookimpl
    def on_gradients_ready(self, run):
        if self.hook == "on_gradients_ready":
            self.strike(run)

    @hookimpl
    def on_step_end(self, run):
        if self.hook == "on_step_end":
            self.strike(run)

    @hookimpl
    def report(self, run):
        if self.hook == "report":
            self.strike(run)

    @hookimpl
    def on_epoch_end(self, run):
        if self.hook == "on_epoch_end":
            self.strike(run)


def same(found, expected):
    """Compare what two boards hold: by TensorBoard's reader, and by the records of all files."""
    assert found.scalars() == expected.scalars()
    assert Counter(found.rows()) == Counter(expected.rows())
    assert max(Counter(found.rows()).values()) == 1
    reader, other = found.reader(), expected.reader()
    for tag in other.Tags()["histograms"]:
        assert [each.step for each in reader.Histograms(tag)] == [each.step for each in other.Histograms(tag)]
    for tag in other.Tags()["images"]:
        assert [each.step for each in reader.Images(tag)] == [each.step for each in other.Images(tag)]
    for tag in other.Tags()["tensors"]:
        assert [each.step for each in reader.Tensors(tag)] == [each.step for each in other.Tensors(tag)]


def killed_while(directory, done):
    """Start a training of its own and kill it as soon as *done*(its board's size) holds; return whether it was."""
    variables = {key: value for key, value in os.environ.items() if not key.startswith("HOOKLOOP")}
    process = subprocess.Popen([sys.executable, SCRIPT, directory], env=variables, start_new_session=True)
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while process.poll() is None and not done() and time.monotonic() < deadline:
        time.sleep(0.005)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait(TIMEOUT_SECONDS) == -signal.SIGKILL


def test_a_process_that_was_killed_twice_and_resumed(training, tmp_path, board, whole):
    directory = tmp_path / "run"
    found = board(directory / "tensorboard")

    def reached(step):
        return lambda: any(row_step >= step for _, row_step in found.rows() if (found.directory).exists())

    assert killed_while(directory, reached(5))
    assert killed_while(directory, reached(14))
    training.train(directory)
    same(found, whole)


@pytest.mark.parametrize("hook", ["on_gradients_ready", "on_step_end", "report", "on_epoch_end"])
@pytest.mark.parametrize("step", [4, 5, 9, 10, 11])
def test_a_run_that_broke_off_anywhere_and_was_resumed(training, tmp_path, board, whole, hook, step):
    if hook == "on_epoch_end" and step % training.STEPS:
        pytest.skip("no epoch ends there")
    with pytest.raises(Exception, match="ConnectionError"):
        training.train(tmp_path / "run", Stop(hook, step))
    training.train(tmp_path / "run")
    same(board(tmp_path / "run" / "tensorboard"), whole)


def test_resumed_twice_from_the_same_snapshot(training, tmp_path, board, whole):
    for step in (4, 5, 4):
        with pytest.raises(Exception, match="ConnectionError"):
            training.train(tmp_path / "run", Stop("report", step))
    training.train(tmp_path / "run")
    same(board(tmp_path / "run" / "tensorboard"), whole)


def test_killed_before_the_first_snapshot_it_starts_afresh(training, tmp_path, board, whole):
    with pytest.raises(Exception, match="ConnectionError"):
        training.train(tmp_path / "run", Stop("report", 2))
    training.train(tmp_path / "run")
    same(board(tmp_path / "run" / "tensorboard"), whole)


def test_a_reader_that_was_open_all_the_time_sees_no_point_twice(training, tmp_path, whole):
    with pytest.raises(Exception, match="ConnectionError"):
        training.train(tmp_path / "run", Stop("report", 11))
    guidance = {"scalars": 0, "histograms": 0, "images": 0}
    reader = EventAccumulator(str(tmp_path / "run" / "tensorboard"), size_guidance=guidance).Reload()
    assert reader.Scalars("train/loss")[-1].step > 9
    training.train(tmp_path / "run")
    reader.Reload()
    found = {tag: [(each.step, each.value) for each in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}
    assert found == whole.scalars()


def test_a_plugin_that_joins_a_resumed_run_cuts_off_by_the_steps(training, tmp_path, board, whole, monkeypatch):
    with pytest.raises(Exception, match="ConnectionError"):
        training.train(tmp_path / "run", Stop("report", 11))
    monkeypatch.setattr("hookloop_tensorboard.plugin.TensorBoard.load_state_dict", lambda self, state: None)
    training.train(tmp_path / "run")
    rows = Counter(board(tmp_path / "run" / "tensorboard").rows())
    assert max(rows.values()) == 1
    # The points of the step of the snapshot itself were in its state.
    assert {step for (name, step) in Counter(whole.rows()) - rows} <= {9}


def test_the_configuration_and_the_end_are_those_of_the_last_process(training, tmp_path, board):
    with pytest.raises(Exception, match="ConnectionError"):
        training.train(tmp_path / "run", Stop("report", 11), histogram_bins=3)
    found = board(tmp_path / "run" / "tensorboard")
    training.train(tmp_path / "run")
    assert found.hyper_parameters()[1] == Status.Value("STATUS_SUCCESS")
    (config,) = found.reader().Tensors("config")
    assert b"histogram_bins" not in config.tensor_proto.string_val[0]


def test_a_finished_run_that_goes_on_has_no_point_twice(tiny_run, board, tmp_path):
    first = tiny_run(["tensorboard"], epochs=1, run_dir=tmp_path / "run")
    tiny_run(["tensorboard"], epochs=2, run_dir=tmp_path / "run", resume=first.state)
    tiny_run(["tensorboard"], epochs=2, run_dir=tmp_path / "other")
    found = board(tmp_path / "run" / "tensorboard")
    assert found.scalars() == board(tmp_path / "other" / "tensorboard").scalars()
    assert found.hyper_parameters()[0]["run.max_epochs"] == 2
    assert max(Counter(found.rows()).values()) == 1


def test_a_run_resumed_elsewhere_begins_there(tiny_run, board, tmp_path):
    first = tiny_run(["tensorboard"], epochs=1, run_dir=tmp_path / "run")
    tiny_run(["tensorboard"], epochs=2, run_dir=tmp_path / "other", resume=first.state)
    assert [step for step, _ in board(tmp_path / "other" / "tensorboard").scalars()["train/loss"]] == [4, 5, 6]
