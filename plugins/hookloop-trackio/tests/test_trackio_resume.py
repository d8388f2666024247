"""Killed and resumed, trackio has each step once, with the values of a run that was never killed."""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from hookloop import hookimpl

TRAINING = Path(__file__).with_name("killed_trackio.py")
STEPS = list(range(1, 13))


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """Train in a process of its own, and kill it after a step."""
    log = tmp_path_factory.mktemp("trainings") / "stderr"
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [sys.executable, str(TRAINING)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            bufsize=1,
        ) as trainer,
    ):

        def run(directory, killed_at=0, seconds=0.0):
            print(directory, killed_at, seconds, "self", sep="\t", file=trainer.stdin, flush=True)
            assert int(trainer.stdout.readline()) == (-9 if killed_at else 0), log.read_text()

        yield run
        trainer.stdin.close()


@pytest.fixture
def killed(logged):
    """Read what trackio has of the run in a directory."""
    return lambda directory: logged(json.loads((directory / "trackio.json").read_text())["id"], of="killed")


@pytest.fixture
def whole(train, killed, tmp_path):
    """The rows of a run that was never killed."""
    train(tmp_path / "whole")
    return killed(tmp_path / "whole").metrics


@pytest.mark.parametrize(("killed_at", "seconds"), [(8, 1.5), (8, 0.0), (2, 1.5)])
def test_killed_and_resumed_no_row_is_missing_and_none_is_there_twice(
    train, tmp_path, killed, whole, killed_at, seconds
):
    train(tmp_path / "run", killed_at, seconds)
    train(tmp_path / "run")
    found = killed(tmp_path / "run")
    assert found.metrics == whole
    assert found.steps == STEPS
    texts = [row["step"] for row in found.rows if "note" in row]
    assert len(texts) == len(set(texts))
    assert set(range(killed_at + 1, 13)) <= set(texts)
    if seconds:  # what trackio had time to write is all there
        assert texts == STEPS


def test_killed_twice(train, tmp_path, killed, whole):
    train(tmp_path / "run", 5, 1.5)
    train(tmp_path / "run", 11, 0.0)
    train(tmp_path / "run")
    assert killed(tmp_path / "run").metrics == whole


class Fails:
    """Raises after a step, once."""

    role = "observer"

    def __init__(self, step):
        self.step = step

    @hookimpl
    def on_step_end(self, run):
        if run.step == self.step:
            raise RuntimeError("on purpose")


def test_a_run_that_failed_goes_on_as_the_same_trackio_run(engine, checkpoint, logged):
    with pytest.raises(Exception, match="on purpose"):
        engine(checkpoint(), Fails(7)).fit()
    engine(checkpoint()).fit(resume=True)
    found = logged()
    assert found.steps == list(range(1, 9))
    assert [alert["title"] for alert in found.alerts][::-1] in (["failed", "completed"], ["completed", "failed"])


def test_what_trackio_had_not_written_is_logged_again(engine, checkpoint, logged, project):
    from trackio.sqlite_storage import SQLiteStorage

    with pytest.raises(Exception, match="on purpose"):
        engine(checkpoint(), Fails(7)).fit()
    with closing(sqlite3.connect(SQLiteStorage.get_project_db_path(project))) as database, database:
        database.execute("DELETE FROM metrics WHERE step > 3")
    engine(checkpoint()).fit(resume=True)
    assert logged().steps == list(range(1, 9))


def test_without_a_checkpoint_everything_comes_again(engine, logged):
    with pytest.raises(Exception, match="on purpose"):
        engine(Fails(7)).fit()
    engine().fit(resume=True)
    assert logged().steps == list(range(1, 9))


def test_switched_on_in_a_resumed_run_it_has_the_time_before_as_well(engine, checkpoint, logged):
    with pytest.raises(Exception, match="on purpose"):
        engine(checkpoint(), Fails(7), options=False).fit()
    engine(checkpoint()).fit(resume=True)
    assert logged().steps == list(range(1, 9))


def test_a_run_that_goes_on_in_another_directory_is_another_trackio_run(engine, checkpoint, logged):
    result = engine(checkpoint(), max_steps=6).fit()
    engine(checkpoint(), directory="other").fit(resume=result.last_checkpoint)
    assert logged("run").steps == list(range(1, 7))
    assert logged("other").steps == list(range(1, 9))


def test_an_overwritten_run_is_a_new_one(engine, logged, tmp_path):
    engine().fit()
    before = json.loads((tmp_path / "run" / "trackio.json").read_text())["id"]
    engine(overwrite=True).fit()
    now = json.loads((tmp_path / "run" / "trackio.json").read_text())["id"]
    assert now != before
    assert logged(now).steps == list(range(1, 9))
