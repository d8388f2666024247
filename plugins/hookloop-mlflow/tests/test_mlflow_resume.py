"""Killed and resumed, MLflow has the points of a run that was never stopped: each once, in the same run."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hookloop import snapshots
from hookloop_mlflow import ledger

SAVER = f"{Path(__file__).with_name('saver.py')}:Saver"

KILLED = """
import os, signal, sys, time
import torch
from hookloop import Engine, hookimpl
from hookloop.testing.tiny import tiny_task

interval, at_step, patience = float(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])

class Kill:
    role = "observer"

    @hookimpl
    def on_step_end(self, run):
        run.log("late" if run.step > 3 else "early", run.step)
        run.log_text("note", str(run.step))
        run.log_image("picture", torch.full((4, 4), run.step, dtype=torch.uint8))

    @hookimpl
    def report(self, run):
        if run.step == at_step:
            time.sleep(patience)
            os.kill(os.getpid(), signal.SIGKILL)

torch.manual_seed(0)
Engine(
    tiny_task, loss="cross_entropy", optimizer=("sgd", {"lr": 0.1}), name="run", run_dir="run", seed=5,
    plugins=[
        ("mlflow", {"interval_seconds": interval}),
        ("saver", {"use": sys.argv[4], "every": "2 steps"}),
        ("kill", Kill()),
    ],
    max_epochs=3, log_every="1 step", device="cpu", threads=1,
).fit(resume=len(sys.argv) > 5)
"""


def run_script(interval, at_step, patience=0.0, *more):
    """Run the script, which kills itself when *patience* seconds have passed at *at_step*."""
    environment = {**os.environ, "CI": "1"}
    command = [sys.executable, "-W", "error", "-c", KILLED, str(interval), str(at_step), str(patience), SAVER, *more]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)


def rows(directory="run"):
    return [json.loads(line) for line in (Path(directory) / "metrics.jsonl").read_text().splitlines()]


def from_rows(directory="run"):
    """What MLflow has to have: each value of the run's own log."""
    found = {}
    for row in rows(directory):
        for name in row.keys() - {"step", "epoch", "time"}:
            found.setdefault(name, []).append((row["step"], row[name]))
    return found


def check_whole(shown):
    """Check that MLflow has one run, with all that the script logs, once."""
    run = shown().run()
    assert run.info.status == "FINISHED"
    assert [step for step, _ in shown().history(run, "train/loss")] == list(range(1, 10))
    assert shown().histories(run) == from_rows()
    names = shown().artifacts(run)
    assert [name for name in names if name.startswith("texts/")] == [f"texts/note/{n:08}.txt" for n in range(1, 10)]
    pictures = [name for name in names if name.endswith(".png")]
    assert sorted(int(re.split(r"[+%]", name)[2]) for name in pictures) == list(range(1, 10))
    return run


@pytest.mark.parametrize(
    ("interval", "patience"),
    [
        pytest.param(3600, 0, id="before anything was sent"),
        pytest.param(0.1, 4, id="after everything was sent"),
        pytest.param(0.1, 0.3, id="while it was sending"),
    ],
)
def test_killed_and_resumed_there_is_one_run_with_each_point_once(tmp_path, shown, interval, patience):
    assert run_script(interval, 5, patience).returncode == -signal.SIGKILL
    assert (tmp_path / "run" / "checkpoints").exists()
    done = run_script(0.1, 0, 0, "resume")
    assert done.returncode == 0, done.stderr
    check_whole(shown)


def test_killed_before_any_checkpoint_it_begins_again_in_the_same_run(shown):
    assert run_script(0.1, 1, 3).returncode == -signal.SIGKILL
    before = shown().run().info.run_id
    done = run_script(0.1, 0, 0, "resume")
    assert done.returncode == 0, done.stderr
    assert check_whole(shown).info.run_id == before


def test_killed_twice_and_resumed_from_an_older_checkpoint(tmp_path, shown):
    assert run_script(0.1, 7, 3).returncode == -signal.SIGKILL
    shutil.rmtree(max(snapshots.find(tmp_path / "run"), key=lambda each: each.step).path)
    assert run_script(0.1, 8, 0.2, "resume").returncode == -signal.SIGKILL
    done = run_script(0.1, 0, 0, "resume")
    assert done.returncode == 0, done.stderr
    check_whole(shown)


def test_a_run_that_was_made_before_its_id_was_noted_is_found_again(engine, shown):
    engine().fit()
    path = Path("run/mlflow.json")
    entry = ledger.read(path)
    ledger.write(path, ledger.Entry(entry.tracking_uri, entry.experiment, entry.key, entry.settings))
    engine(max_epochs=3).test()
    assert shown().run().info.run_id == entry.run_id == ledger.read(path).run_id


def test_a_longer_training_goes_on_in_the_same_run_and_says_what_changed(engine, shown):
    engine(SAVER).fit()
    engine(SAVER, max_epochs=3).fit(resume=True)
    run = shown().run()
    assert [step for step, _ in shown().history(run, "train/loss")] == list(range(1, 10))
    assert shown().histories(run) == from_rows()
    assert json.loads(run.data.tags["hookloop.changed"])["run.max_epochs"] == "3"
    assert run.data.params["run.max_epochs"] == "2"
    assert run.info.status == "FINISHED"


def test_another_configuration_from_an_earlier_step_is_a_new_run_with_the_whole_history(engine, shown):
    saver = ("saver", {"use": SAVER, "every": "2 steps"})
    engine(saver).fit()
    oldest = min(snapshots.find(Path("run")), key=lambda each: each.step).path
    made = engine(saver, max_epochs=3, precision="bf16-mixed", strict_resume=False)
    made.fit(resume=oldest)
    old, new = shown().runs()
    assert (old.info.status, old.data.tags["hookloop.outcome"]) == ("KILLED", "replaced")
    assert (new.info.status, new.data.tags["hookloop.replaces"]) == ("FINISHED", old.info.run_id)
    assert shown().histories(new) == from_rows()
    assert new.data.params["run.precision"] == "bf16-mixed"
    assert len(shown().history(old, "train/loss")) == 6


def test_a_snapshot_that_is_resumed_elsewhere_is_a_run_of_its_own_with_the_points_before(engine, shown):
    last = engine(SAVER).fit().last_checkpoint
    engine(SAVER, max_epochs=3, directory="other").fit(resume=last)
    first, second = shown().runs()
    assert len(shown().history(first, "train/loss")) == 6
    assert shown().histories(second) == from_rows("other")
    assert len(shown().history(second, "train/loss")) == 9


def test_a_run_that_was_deleted_in_mlflow_is_made_anew(engine, shown, caplog):
    engine(SAVER).fit()
    shown().client.delete_run(shown().run().info.run_id)
    engine(SAVER, max_epochs=3).fit(resume=True)
    assert "was deleted" in caplog.text
    assert shown().histories(shown().run()) == from_rows()


def test_several_points_of_one_step_stay_several(engine, shown):
    made = engine(SAVER, validate_every="3 steps")
    made.fit()
    once = shown().histories(shown().run())
    engine(SAVER, validate_every="3 steps", max_epochs=2).fit(resume=True)
    assert shown().histories(shown().run()) == once == from_rows()
