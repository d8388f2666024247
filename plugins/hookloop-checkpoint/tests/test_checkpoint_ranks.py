"""Two processes that train together: all of them save at the same boundaries, and one of them writes."""

import json
import os
import subprocess
import sys

import pytest

WORKER = """
import gc, json, os, sys
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

from hookloop import Engine, SupervisedTask, hookimpl

torch.set_num_threads(1)
rank, place = int(os.environ["RANK"]), Path(sys.argv[1])
dist.init_process_group("gloo", init_method=f"file://{place}/meet", rank=rank, world_size=2,
                        timeout=timedelta(seconds=30))


class Watch:
    role = "observer"

    def __init__(self, fail_at=None):
        self.fail_at, self.saves = fail_at, []

    @hookimpl
    def on_checkpoint_save(self, run):
        self.saves.append(run.step)

    @hookimpl
    def on_step_end(self, run):
        if run.step == self.fail_at:
            raise RuntimeError("the true error")


class Clock:
    # Only that of rank 0 goes on: what it says has to hold for all.
    seconds = 0.0

    def __call__(self):
        self.seconds += 10.0 if rank == 0 else 0.0
        return self.seconds


def train(name, options, fail_at=None, **keywords):
    batches = [(torch.ones(2, 3) * index, torch.ones(2, 1)) for index in range(6)]
    watch = Watch(fail_at)
    engine = Engine(
        lambda: SupervisedTask(torch.nn.Linear(3, 1), train=batches, val=None), loss="mse", optimizer="sgd",
        plugins=[("checkpoint", {"final": False, **options}), ("watch", watch)], max_epochs=1, device="cpu",
        log_every="1 step", run_dir=place / name, **keywords,
    )
    try:
        engine.fit(resume=True)  # as two that begin the same directory would refuse each other's
    except Exception as error:
        watch.saves.append(str(error.__cause__ or error))
    dist.barrier()
    return watch.saves


seen = {
    "steps": train("steps", {"every": "2 steps", "asynchronous": True, "monitor": "train/loss", "only_best": True}),
    "clock": train("clock", {"every": "20 s"}, clock=Clock()),
    "failure": train("failure", {"every": "1 hour", "on_exception": True}, fail_at=3),
}
(place / f"seen-{rank}.json").write_text(json.dumps(seen))
dist.destroy_process_group()
gc.collect()  # what the run that failed had of it ends here, as a thread of gloo may abort a Python that ends
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What each rank saw, and the directory of the runs."""
    place = tmp_path_factory.mktemp("ranks")
    processes = []
    for rank in range(2):
        variables = {**os.environ, "RANK": str(rank), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", WORKER, str(place)]
        processes.append(subprocess.Popen(command, env=variables, stderr=subprocess.PIPE, text=True))
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(errors)
    return *(json.loads((place / f"seen-{rank}.json").read_text()) for rank in range(2)), place


def test_all_ranks_take_part_and_one_writes(seen, steps):
    first, second, place = seen
    assert first["steps"] == second["steps"] == [2, 4, 6]
    assert set(steps(place / "steps")) <= {2, 4, 6}


def test_what_is_due_by_the_clock_is_decided_by_the_first_for_all(seen, steps):
    """A rank that saved by a clock of its own would wait for the others for ever."""
    first, second, place = seen
    assert first["clock"] == second["clock"] != []
    assert steps(place / "clock") == sorted({*first["clock"]})[-3:]


def test_a_failure_is_saved_without_waiting_for_another_rank(seen, steps):
    """Lightning#20187: saving on an exception met ranks that were elsewhere, and hid the error by a timeout."""
    first, second, place = seen
    assert first["failure"] == second["failure"] == ["the true error"]
    assert steps(place / "failure") == [3]
