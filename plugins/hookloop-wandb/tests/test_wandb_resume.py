"""Killed and resumed, all files of a run together have each step once, with the values of a run never killed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hookloop import hookimpl
from hookloop_wandb.transaction_log import logged

TRAINING = Path(__file__).with_name("killed_wandb.py")
STEPS = list(range(1, 13))


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """Train in a process of its own, and kill it after a step."""
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    log = tmp_path_factory.mktemp("trainings") / "stderr"
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [sys.executable, str(TRAINING)],
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            bufsize=1,
        ) as trainer,
    ):

        def run(directory, killed_at=0, seconds=0.0, whom="self"):
            print(directory, killed_at, seconds, whom, sep="\t", file=trainer.stdin, flush=True)
            assert int(trainer.stdout.readline()) == (-9 if killed_at else 0), log.read_text()

        yield run
        trainer.stdin.close()


def values(rows):
    return [{name: value for name, value in row.items() if name[0] != "_"} for row in rows if "epoch" in row]


@pytest.fixture(scope="module")
def whole(train, tmp_path_factory):
    """The rows of a run that was never killed."""
    directory = tmp_path_factory.mktemp("whole") / "run"
    train(directory)
    [path] = (directory / "wandb").glob("offline-run-*/*.wandb")
    return [row.values for row in logged(path)]


@pytest.mark.parametrize(
    ("killed_at", "seconds", "whom"),
    [(8, 1.5, "self"), (8, 0.0, "self"), (2, 0.0, "group")],
    ids=["written", "at once", "before a checkpoint"],
)
def test_killed_and_resumed_no_row_is_missing_and_none_is_there_twice(
    train, tmp_path, files, whole, killed_at, seconds, whom
):
    train(tmp_path / "run", killed_at, seconds, whom)
    train(tmp_path / "run")
    found = files()
    assert values(found.rows) == values(whole)
    assert [row["step"] for row in values(found.rows)] == STEPS
    assert len({run.run_id for run in found.runs}) == 1
    assert len({row["_step"] for row in found.rows}) == len(found.rows)
    texts = [row["step"] for row in found.rows if "note" in row]
    assert len(texts) == len(set(texts))
    assert set(range(killed_at + 1, 13)) <= set(texts)
    if seconds:  # what wandb had time to write is all there
        assert texts == STEPS


def test_killed_twice(train, tmp_path, files, whole):
    train(tmp_path / "run", 5, 1.5)
    train(tmp_path / "run", 11, 0.0)
    train(tmp_path / "run")
    assert values(files().rows) == values(whole)


class Fails:
    """Raises after a step, once."""

    role = "observer"

    def __init__(self, step):
        self.step = step

    @hookimpl
    def on_step_end(self, run):
        if run.step == self.step:
            raise RuntimeError("on purpose")


def test_a_run_that_failed_goes_on_as_the_same_wandb_run(engine, checkpoint, files):
    with pytest.raises(Exception, match="on purpose"):
        engine(checkpoint(), Fails(7)).fit()
    engine(checkpoint()).fit(resume=True)
    found = files()
    assert [row["step"] for row in values(found.rows)] == list(range(1, 9))
    assert len({run.run_id for run in found.runs}) == 1
    assert found.summary["outcome"] == "completed"


def test_what_wandb_had_not_written_is_logged_again(engine, checkpoint, files):
    with pytest.raises(Exception, match="on purpose"):
        engine(checkpoint(), Fails(7)).fit()
    [path] = files().files
    fourth = next(row for row in logged(path) if row.values["step"] == 4)
    path.write_bytes(path.read_bytes()[: fourth.offset + 20])  # in the middle of a chunk
    assert [row["step"] for row in values(files().rows)] == [1, 2, 3]
    engine(checkpoint()).fit(resume=True)
    assert [row["step"] for row in values(files().rows)] == list(range(1, 9))


def test_without_a_checkpoint_everything_comes_again(engine, files):
    with pytest.raises(Exception, match="on purpose"):
        engine(Fails(7)).fit()
    engine().fit(resume=True)
    assert [row["step"] for row in values(files().rows)] == list(range(1, 9))


def test_switched_on_in_a_resumed_run_it_has_the_time_before_as_well(engine, checkpoint, files):
    with pytest.raises(Exception, match="on purpose"):
        engine(checkpoint(), Fails(7), options=False).fit()
    engine(checkpoint()).fit(resume=True)
    assert [row["step"] for row in values(files().rows)] == list(range(1, 9))


def test_a_run_that_goes_on_in_another_directory_is_another_wandb_run(engine, checkpoint, files):
    result = engine(checkpoint(), max_steps=6).fit()
    engine(checkpoint(), directory="other").fit(resume=result.last_checkpoint)
    assert [row["step"] for row in values(files("other").rows)] == list(range(1, 9))
    assert files().runs[0].run_id != files("other").runs[0].run_id


def test_an_overwritten_run_is_a_new_one(engine, files):
    engine().fit()
    engine(overwrite=True).fit()
    assert len({run.run_id for run in files().runs}) == 2


def test_what_the_server_has_already_is_not_logged_again(engine, checkpoint, files):
    with pytest.raises(Exception, match="on purpose"):
        engine(checkpoint(), Fails(7)).fit()
    [path] = files().files
    path.with_name(f"{path.name}.synced").touch()  # as 'wandb sync' leaves it
    engine(checkpoint()).fit(resume=True)
    assert [row["step"] for row in values(files().rows)] == list(range(1, 9))
    assert [row["_step"] for row in files().rows] == list(range(8))
