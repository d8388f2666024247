"""A real command line that is told to stop: it saves, says so by its exit code, and goes on where it was."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from hookloop import snapshots

TASK = """
import time
import torch
from hookloop import SupervisedTask

class Slow(SupervisedTask):
    def train_step(self, batch):
        time.sleep(0.01)
        return super().train_step(batch)

def build():
    generator = torch.Generator().manual_seed(0)
    batches = [(torch.randn(4, 3, generator=generator), torch.randn(4, 1, generator=generator)) for _ in range(40)]
    return Slow(torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Dropout(), torch.nn.Linear(4, 1)), train=batches)
"""

CONFIG = """
[run]
name = "slow"
max_steps = 60
log_every = "1 step"
device = "cpu"
threads = 1
run_dir = "run"

[task]
use = "task.py:build"
[loss]
use = "mse"
[optimizer]
use = "adamw"

[plugins.checkpoint]
every = "1 hour"
"""


OUTCOMES = {"preempted": (signal.SIGTERM, 143), "interrupted": (signal.SIGINT, 130)}


def start(place, *words):
    command = [sys.executable, "-m", "hookloop", "fit", "run.toml", "--json", *words]
    variables = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=place, env=variables, stdout=subprocess.PIPE, text=True)


def finish(process):
    out, _ = process.communicate(timeout=60)
    return process.returncode, json.loads(out)


def wait_for_rows(place, count):
    deadline = time.monotonic() + 60
    log = place / "run" / "metrics.jsonl"
    while time.monotonic() < deadline:
        if log.exists() and log.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.01)
    pytest.fail("the run never logged")


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """For each outcome the directory, the exit code and the answer of a run that was sent the signal, side by side."""
    processes = {}
    for outcome in OUTCOMES:
        place = tmp_path_factory.mktemp(outcome)
        (place / "task.py").write_text(TASK)
        (place / "run.toml").write_text(CONFIG)
        processes[outcome] = place, start(place)
    for outcome, (place, process) in processes.items():
        wait_for_rows(place, 5)
        process.send_signal(OUTCOMES[outcome][0])
    return {outcome: (place, *finish(process)) for outcome, (place, process) in processes.items()}


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_signal_saves_a_state_at_the_next_step_and_is_told_by_the_exit_code(stopped, outcome):
    """goodfire spd#740: the save on SIGTERM fired 0 of 6 times."""
    place, exit_code, document = stopped[outcome]
    assert (exit_code, document["outcome"]) == (OUTCOMES[outcome][1], outcome)
    (snapshot,) = snapshots.find(place / "run")
    assert document["last_checkpoint"].endswith(f"step-{document['step']:08}")
    assert (snapshot.step, snapshot.kind) == (document["step"], "resumable")
    assert 5 <= snapshot.step < 60
    assert snapshots.verify(snapshot.path) == []


def test_a_preempted_run_goes_on_where_it_was(stopped):
    place, _, _ = stopped["preempted"]
    exit_code, resumed = finish(start(place, "--resume"))
    assert (exit_code, resumed["outcome"], resumed["step"]) == (0, "completed", 60)
    rows = [json.loads(line) for line in (place / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "train/loss" in row] == list(range(1, 61))
