"""A process that is really killed, again and again, and resumed from its snapshots leaves the very tables."""

import csv
import subprocess
import sys
import time

SCRIPT = """
import sys, time
import torch
from hookloop import Engine, SupervisedTask, hookimpl, snapshots

torch.set_num_threads(1)


class Save:
    role = "observer"

    @hookimpl
    def persist(self, run):
        if run.step % 3 == 0:
            name = f"{run.epoch}-{run.step}-{run.attempt}"
            state = snapshots.take(run)
            path = run.directory / "checkpoints" / "save"
            if not (path / name).exists():
                snapshots.saved(run, snapshots.write(path, name, state, instance="save", attempt=run.attempt).path)

    @hookimpl
    def on_step_end(self, run):
        run.log("train/mark", run.step)
        if run.step > 9:
            run.log("late", run.step)
        time.sleep(0.01)


batch = (torch.ones(4, 2), torch.ones(4, 1))
task = lambda: SupervisedTask(torch.nn.Linear(2, 1), [batch] * 8, val=[batch])
tables = [
    "csv",
    ("keras", {"use": "csv", "layout": "keras", "file": "keras.csv"}),
    ("some", {"use": "csv", "every": "5 steps", "file": "some.csv"}),
]
run = {"max_epochs": 5, "log_every": "1 step", "run_dir": sys.argv[1], "device": "cpu", "seed": 3}
Engine(task, loss="mse", optimizer="sgd", plugins=[*tables, Save()], **run).fit(resume=True)
"""


def start(directory):
    return subprocess.Popen([sys.executable, "-c", SCRIPT, str(directory)], stderr=subprocess.DEVNULL)


def table(directory, name):
    with (directory / name).open(newline="") as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


def test_no_row_is_missing_and_none_comes_twice(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start(whole).wait(120) == 0
    for rows in (5, 17, 18, 33):
        process = start(killed)
        while process.poll() is None and (not (killed / "metrics.csv").exists() or lines(killed) <= rows):
            time.sleep(0.001)
        process.kill()
        assert process.wait(60) == -9, "the run has ended before it was killed"
    assert start(killed).wait(120) == 0
    for name in ("metrics.csv", "keras.csv", "some.csv"):
        assert table(killed, name) == table(whole, name), name
    assert [row["step"] for row in table(killed, "metrics.csv")] == [str(step) for step in range(1, 41)]
    assert [row["epoch"] for row in table(killed, "keras.csv")] == ["0", "1", "2", "3", "4"]


def lines(directory):
    return (directory / "metrics.csv").read_bytes().count(b"\n")
