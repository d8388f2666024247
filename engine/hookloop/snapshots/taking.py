"""The state of a run for a snapshot, and the news of a snapshot to the run."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from hookloop.run import Run
from hookloop.snapshots.shards import KEYS, is_shard, is_sharded, separate
from hookloop.state import run_state
from hookloop.topology import Topology, first_decides, gather_parts, shared_group


def take(run: Run) -> dict[str, Any]:
    """Return the whole state of *run* at a boundary, with what plugins add to it.

    All ranks have to call it: rank 0 gathers the random numbers and the positions of all. On the others there is
    nothing, unless the model is shared out among them: then the parts of it that they hold, and all have to call
    `hookloop.snapshots.write`. The tensors are those that are trained on. Raises PluginHookError, which names the
    plugin and the place, for a state that could not be loaded again, TypeError for another part of such a kind, and
    SnapshotError for a DTensor outside of the model and its optimizers.
    """
    from hookloop.plain_state import check_plain

    state = run_state(run, plain=True)
    if run.plugins.hooks.on_checkpoint_save:
        run.plugins.hooks.on_checkpoint_save(run, state)
    for name, part in state.items():
        if name != "plugins":
            check_plain(part, name)
    separate(state)  # what cannot be saved is found on all ranks, before one waits for another
    if run.world_size == 1:
        return state
    shared_out = is_sharded(state)
    own = {"rng": state["rng"], "data": state["data"]}
    if shared_out:
        own["model"] = of_this_rank(state["model"], run.host_group)
    state["ranks"] = gather_parts(own, run.host_group)
    if run.rank == 0:
        return state
    return {key: state[key] for key in ("counters", *KEYS)} if shared_out else {}


def of_this_rank(model: Mapping[str, Any], group: Any) -> dict[str, Any]:
    """Return the tensors that each rank holds whole, and that are not as on rank 0: nobody keeps these alike.

    Statistics of batches are such, where a plugin shares out the parameters, but not the buffers.
    """
    whole = {name: each for name, each in model.items() if isinstance(each, torch.Tensor) and not is_shard(each)}
    first, *_ = everyones = gather_parts({name: digest(each) for name, each in whole.items()}, group)
    differing = {name for each in everyones for name in each if each[name] != first.get(name)}
    return {name: each.detach().cpu() for name, each in whole.items() if name in differing}


def digest(tensor: torch.Tensor) -> str:
    """Return what tells *tensor* from one of other values."""
    file = io.BytesIO()
    torch.save(tensor.detach().cpu().clone(), file)
    return hashlib.sha256(file.getbuffer()).hexdigest()


def writing_group(run: Run) -> Any:
    """Return a process group to give to `hookloop.snapshots.write` where the model is shared out, else None.

    All ranks have to call this, in the thread that trains: another thread may write in the group then.
    """
    if run.world_size == 1 or not is_sharded({"model": run.model.state_dict()}):
        return None
    return shared_group(Topology(run.rank, run.world_size))


def as_first_says(run: Run, answer: bool) -> bool:
    """Return what rank 0 answers; all ranks have to call this, in the thread that trains."""
    return first_decides(lambda: answer, run.host_group)


def saved(run: Run, path: Path) -> None:
    """Tell the plugins that the snapshot at *path* is durable. For rank 0, on the thread that trains."""
    run.last_checkpoint = path
    if run.plugins.hooks.on_checkpoint_saved:
        run.plugins.hooks.on_checkpoint_saved(run, path)
