"""Run as a program on each of two ranks by ``test_sharded.py``: trains a model that is shared out between them."""

import gc
import json
import os
import shutil
import signal
import sys
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Partial, Shard, distribute_tensor
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from hookloop import Engine, HookloopError, SupervisedTask, hookimpl, snapshots
from hookloop.snapshots.shards import is_shard

RANKS, SAMPLES, SIZE = 2, 48, 4


def dataset():
    generator = torch.Generator().manual_seed(3)
    return TensorDataset(torch.randn(SAMPLES, 5, generator=generator), torch.randn(SAMPLES, 3, generator=generator))


def model():
    """One that cannot be cut evenly, and whose running statistics are those of each rank."""
    layers = torch.nn.Linear(5, 7), torch.nn.BatchNorm1d(7), torch.nn.Dropout(0.2), torch.nn.Linear(7, 3)
    return torch.nn.Sequential(*layers)


def task(rank, ranks):
    sampler = DistributedSampler(dataset(), ranks, rank, seed=5)
    return SupervisedTask(model(), train=DataLoader(dataset(), SIZE, sampler=sampler), val=None)


class Sharded:
    """Makes the process group at the first start, and shares out the model."""

    role = "actor"

    @hookimpl
    def on_run_start(self, run):
        if not dist.is_initialized():
            place = {"rank": run.rank, "world_size": run.world_size} if "MEET" in os.environ else {}
            dist.init_process_group("gloo", os.environ.get("MEET"), timeout=timedelta(seconds=60), **place)

    @hookimpl
    def prepare_model(self, run, model):
        return fully_shard(model, mesh=init_device_mesh("cpu", (run.world_size,)))


class Save:
    """Saves after every second step."""

    role = "observer"

    @hookimpl
    def persist(self, run):
        state = snapshots.take(run) if run.step % 2 == 0 and run.batch_index else None
        if state:
            directory, name = run.directory / "checkpoints" / "save", f"step-{run.step:08}"
            saved = snapshots.write(directory, name, state, instance="save", attempt=run.attempt, group=run.host_group)
            if run.rank == 0:
                snapshots.saved(run, saved.path)


class Average:
    """Has a DTensor in its state, if it is to."""

    role = "observer"

    def __init__(self, averages):
        self.averages, self.average = averages, None

    @hookimpl
    def on_fit_start(self, run):
        if self.averages:
            self.average = run.model.state_dict()["0.weight"].clone()

    def state_dict(self):
        return {"average": self.average}

    def load_state_dict(self, state):
        self.average = state["average"]


class Watch:
    """Fails after a step, and notes what the run went on from."""

    role = "observer"

    def __init__(self, fail_at=None):
        self.fail_at, self.seen = fail_at, {}

    @hookimpl
    def on_fit_start(self, run):
        self.seen = {
            "directory": str(run.directory),
            "attempt": run.attempt,
            "from": run.resumed_from and run.resumed_from.name,
            "batch_index": run.batch_index,
            "begun": whole(run.model.state_dict()),
        }

    @hookimpl
    def on_step_end(self, run):
        if run.step == self.fail_at:
            raise RuntimeError("the plug was pulled")


def whole(value):
    """*value* with whole tensors as lists: what two runs are compared by."""
    if is_shard(value):
        return whole(value.full_tensor())
    if isinstance(value, torch.Tensor):
        return value.double().tolist()
    if isinstance(value, dict):
        return {str(key): whole(each) for key, each in value.items()}
    return [whole(each) for each in value] if isinstance(value, (list, tuple)) else value


def train(place, *, resume=None, fail_at=None, epochs=2, named=True, averages=False):
    """Train, and return what happened."""
    rank = int(os.environ["RANK"])
    watch = Watch(fail_at)
    engine = Engine(
        lambda: task(rank, RANKS),
        loss="mse",
        optimizer=("adamw", {"lr": 0.01}),
        plugins=[("sharded", Sharded()), ("save", Save()), ("watch", watch), ("average", Average(averages))],
        max_epochs=epochs,
        device="cpu",
        log_every="1 step",
        **({"run_dir": place} if named else {"runs_dir": place}),
    )
    try:
        result = engine.fit(resume=resume)
    except HookloopError as error:
        return {**watch.seen, "error": str(error)}
    rows = [{key: value for key, value in row.items() if key.startswith("train/")} for row in result.history]
    state = {name: whole(result.state[name]) for name in ("model", "optimizers")}
    return {**watch.seen, "rows": rows, "step": result.step, **state}


def scenarios(place):
    """Everything that two ranks can show in one launch."""
    seen = {"no group": train(place / "runs", named=False)}
    # Here the plugin makes the group, after it was decided what to go on from.
    seen["from one"] = train(place / "from one", resume=place / "one" / "checkpoints" / "save" / "step-00000012")
    seen["whole"] = train(place / "whole")
    seen["cut"] = train(place / "cut", fail_at=9)
    if int(os.environ["RANK"]) == 0:
        shutil.copytree(place / "cut", place / "damaged")
        flip(place / "damaged" / "checkpoints" / "save" / "step-00000008" / "sharded" / "__1_0.distcp")
    dist.barrier()
    seen["resumed"] = train(place / "cut", resume=True)
    seen["damaged"] = train(place / "damaged", resume=True)
    seen["agreed"] = train(place / "runs", named=False, epochs=1)
    seen["latest"] = train(place / "runs", named=False, resume=True)
    seen["average"] = train(place / "average", averages=True)
    seen["unsaved"] = refusals(place)
    return seen


def refusals(place):
    """What write says of what cannot be written, on this rank."""
    mesh = init_device_mesh("cpu", (RANKS,))
    shards = {"model": {"weight": distribute_tensor(torch.ones(4, 2), mesh, [Shard(0)])}}
    ema = {**shards, "plugins": {"ema": {"state": shards["model"]}}}
    undone = {"model": {"weight": DTensor.from_local(torch.ones(2), mesh, [Partial()])}}
    directory = place / "whole" / "checkpoints" / "refused"
    return {
        "plugin": refusal(directory, ema),
        "partial": refusal(directory, undone),
        "gone": refusal(place / "nowhere" / "checkpoints" / "save", shards),
        "unsavable on rank 0": refusal(directory, {**shards, "more": object() if dist.get_rank() == 0 else None}),
        "left": sorted(each.name for each in directory.iterdir()) if directory.exists() else [],
    }


def refusal(directory, state):
    try:
        snapshots.write(directory, "step-1", state, instance="save")
    except snapshots.SnapshotError as error:
        kind = f"{type(error.__cause__).__name__}: " if isinstance(error.__cause__, OSError) else ""
        return f"{kind}{error}"


def flip(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def killed(place):
    """Lose rank 1 in the middle of the second save, when all of its part is written."""
    from hookloop.snapshots import sharded

    written = sharded.own_files

    def die(directory, rank):
        if rank == 1 and "step-00000004" in str(directory):
            os.kill(os.getpid(), signal.SIGKILL)
        return written(directory, rank)

    sharded.own_files = die
    return train(place / "killed", epochs=1)


def main():
    torch.set_num_threads(1)
    place, what = Path(sys.argv[1]), sys.argv[2]
    seen = {"scenarios": scenarios, "killed": killed}[what](place)
    (place / f"{what}-{os.environ['RANK']}.json").write_text(json.dumps(seen))
    if what == "killed":
        os._exit(0)  # a group that has lost a rank is not taken down
    dist.barrier()


if __name__ == "__main__":
    main()
    gc.collect()
    dist.destroy_process_group()
    gc.collect()
    # A thread of gloo may abort an interpreter that ends, pytorch#190489.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
