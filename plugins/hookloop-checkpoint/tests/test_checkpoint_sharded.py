"""A model that is shared out between two processes: the plugin saves it on both, also in the background."""

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
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from hookloop import Engine, SupervisedTask, hookimpl

torch.set_num_threads(1)
rank, place = int(os.environ["RANK"]), Path(sys.argv[1])
dist.init_process_group("gloo", init_method=f"file://{place}/meet", rank=rank, world_size=2,
                        timeout=timedelta(seconds=60))
mesh = init_device_mesh("cpu", (2,))


class Sharded:
    role = "actor"

    def __init__(self, fail_at=None):
        self.fail_at = fail_at

    @hookimpl
    def prepare_model(self, run, model):
        return fully_shard(model, mesh=mesh)

    @hookimpl
    def on_step_end(self, run):
        if run.step == self.fail_at:
            raise RuntimeError("the true error")


def train(name, options, fail_at=None, resume=None, plugin="checkpoint"):
    generator = torch.Generator().manual_seed(rank)
    batches = [(torch.randn(2, 3, generator=generator), torch.randn(2, 1, generator=generator)) for _ in range(6)]
    engine = Engine(
        lambda: SupervisedTask(torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Dropout(), torch.nn.Linear(5, 1)),
                               train=batches, val=None),
        loss="mse", optimizer="adamw", plugins=[(plugin, options), ("sharded", Sharded(fail_at))],
        max_epochs=2, device="cpu", log_every="1 step", run_dir=place / name,
    )
    try:
        result = engine.fit(resume=resume)
    except Exception as error:
        dist.barrier()
        return str(error.__cause__ or error)
    dist.barrier()
    return [each.full_tensor().tolist() for each in result.state["model"].values()]


background = {"every": "1 step", "asynchronous": True, "keep_last": 3}
seen = {
    "whole": train("whole", background),
    "cut": train("background", background, fail_at=8),
    "resumed": train("background", background, resume=True),
    "backup": train("backup", {"every": "1 step"}, fail_at=8, plugin="backup"),
    "best": train("best", {"every": "1 step", "monitor": "train/loss", "only_best": True, "keep_best": 2}),
    "weights": train("weights", {"every": "6 steps", "weights_only": True}),
    "exception": train("exception", {"every": "1 hour", "on_exception": True}, fail_at=3),
}
(place / f"seen-{rank}.json").write_text(json.dumps(seen))
dist.barrier()
gc.collect()
dist.destroy_process_group()
gc.collect()
# A thread of gloo may abort an interpreter that ends, pytorch#190489.
sys.stderr.flush()
os._exit(0)
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What each rank saw, where they trained, and what they logged."""
    place = tmp_path_factory.mktemp("sharded")
    processes = []
    for rank in range(2):
        env = os.environ | {"RANK": str(rank), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", WORKER, str(place)]
        processes.append(subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True))
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(errors)
    return *(json.loads((place / f"seen-{rank}.json").read_text()) for rank in range(2)), place, errors


def test_what_was_saved_in_the_background_is_resumed_exactly(seen, steps):
    for each in seen[:2]:
        assert each["cut"] == "the true error"
        assert each["resumed"] == each["whole"]
    assert steps(seen[2] / "whole") == steps(seen[2] / "background") == [10, 11, 12]


def test_the_newest_two_backups_are_kept(seen, steps):
    assert steps(seen[2] / "backup", "backup") == [7, 8] or steps(seen[2] / "backup", "backup") == [6, 7]


def test_the_first_rank_says_what_is_among_the_best(seen, steps):
    """Each rank measures a loss of its own; one that saved alone would wait for the other for ever."""
    assert len(steps(seen[2] / "best")) >= 2


def test_weights_alone_are_saved(seen, steps):
    assert steps(seen[2] / "weights") == [6, 12]


def test_a_step_that_failed_is_not_saved_and_the_log_says_why(seen, steps):
    assert [each["exception"] for each in seen[:2]] == ["the true error"] * 2
    assert steps(seen[2] / "exception") == []
    for errors in seen[3]:
        assert "the state of the failed step was not saved: the model is shared out among processes" in errors
