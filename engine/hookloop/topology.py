"""Which process this is among how many, as an existing process group or a launcher's environment says."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from hookloop.control import Control
from hookloop.errors import ConfigError, HookloopError, SnapshotDamaged, SnapshotError

T = TypeVar("T")


@dataclass(frozen=True)
class Topology:
    """The number of this process, how many there are, and its number on this machine."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0


def find_topology(environ: Mapping[str, str]) -> Topology:
    """Return the topology: of a process group that exists, else of the launcher's variables, else a single process.

    Raises ConfigError for variables that are no numbers, or contradict each other.
    """
    local = number(environ, "LOCAL_RANK", 0)
    distributed = existing_group()
    if distributed is not None:
        return Topology(distributed.get_rank(), distributed.get_world_size(), local)
    rank, world_size = number(environ, "RANK", 0), number(environ, "WORLD_SIZE", 1)
    if rank >= world_size:
        raise ConfigError(f"the environment says RANK={rank} of WORLD_SIZE={world_size}; ranks are counted from 0.")
    return Topology(rank, world_size, local)


def number(environ: Mapping[str, str], name: str, default: int) -> int:
    """Return the environment variable *name*, a whole number from 0, or *default* when it is not set."""
    text = environ.get(name, str(default)).strip()
    if not text.isdecimal():
        raise ConfigError(f"the environment says {name}={text!r}, and it must be a number, as a launcher sets it.")
    return int(text)


def existing_group() -> Any:
    """Return ``torch.distributed`` when a process group is there to be used, else None.

    Nobody can have made one without importing the module, which takes long, so it is not imported to find out.
    """
    distributed = sys.modules.get("torch.distributed")
    ready = distributed is not None and distributed.is_available() and distributed.is_initialized()
    return distributed if ready else None


def shared_group(topology: Topology) -> Any:
    """Return a group for the engine alone, or None for a single process and where there is no process group yet.

    All ranks have to call this.
    """
    distributed = existing_group()
    return None if distributed is None or topology.world_size == 1 else host_group(distributed)


def leave_group(group: Any) -> None:
    """Destroy *group*; its threads end when nobody refers to it any more."""
    import torch.distributed

    with suppress(ValueError):  # somebody has destroyed it, with all the others
        torch.distributed.destroy_process_group(group)


def leave_all_groups() -> None:
    """Destroy the process groups that are there, and wait for what this process has yet to send and receive in them.

    For the end of a process that did what it was to do: one that failed would wait for ranks that wait for it. Without
    this a thread of gloo that lets go of a tensor while Python ends aborts the process, now and then, and a launcher
    takes a run that went well for one that failed (https://github.com/pytorch/pytorch/issues/190489).
    """
    distributed = existing_group()
    if distributed is not None:
        distributed.destroy_process_group()
        gc.collect()  # their threads end, and are waited for, with the last reference


def first_decides(decide: Callable[[], T], group: Any = None) -> T:
    """Return on all ranks what *decide* returns on rank 0, and raise on all what it raises there.

    All ranks have to call this. Without a process group there is but one to decide.
    """
    distributed = existing_group()
    if distributed is None:
        return decide()
    told: list[Any] = [None]
    if distributed.get_rank(group) != 0:
        distributed.broadcast_object_list(told, src=0, group=group)
        value, error = told[0]
        if error is not None:
            raise error
        return cast("T", value)
    try:
        value, error = decide(), None
    except Exception as raised:
        value, error = None, raised
    distributed.broadcast_object_list([(value, sendable(error))], src=0, group=group)
    if error is not None:
        raise error
    return cast("T", value)


def sendable(error: Exception | None) -> Exception | None:
    """Return *error* as another process can be told of it, without what it stands on."""
    if error is None or type(error) in (ConfigError, SnapshotError, SnapshotDamaged):
        return type(error)(str(error)) if error is not None else None
    if isinstance(error, OSError):
        return OSError(error.errno, error.strerror or str(error), *([error.filename] if error.filename else []))
    return HookloopError(f"rank 0 failed: {type(error).__name__}: {error}")


def agreement(topology: Topology, group: Any = None) -> Callable[[Control], None] | None:
    """Return what makes all ranks hold the same proposals, or None for a single process.

    All ranks have to call this, and what it returns; they talk in *group*, or in one that is made. Raises ConfigError
    when there are several ranks and no process group to agree in.
    """
    if topology.world_size == 1:
        return None
    distributed = existing_group()
    if distributed is None:
        raise ConfigError(
            f"this is rank {topology.rank} of {topology.world_size}, and there is no process group: each rank would "
            "train a model of its own. Switch on a plugin that makes one, or call torch.distributed.init_process_group."
        )
    import torch

    group = host_group(distributed) if group is None else group

    def agree(control: Control) -> None:
        control.shared = True
        mine = (control.noted, control.stop_reason, control.save_reason)
        anything = torch.tensor(any(each is not None for each in mine), dtype=torch.int32)
        distributed.all_reduce(anything, distributed.ReduceOp.MAX, group=group)
        if not anything:
            return
        proposals = gather(distributed, group, mine)
        # The lowest rank that proposes anything has its way; any rule will do that is the same everywhere.
        control.signal, control.stop_reason, control.save_reason = (
            next((each for each in kind if each is not None), None) for kind in zip(*proposals, strict=True)
        )

    return agree


def check_same_everywhere(topology: Topology, fingerprint: Mapping[str, Any], group: Any = None) -> None:
    """Raise ConfigError, naming what differs, when ranks run different plugins, versions, orders or configurations."""
    distributed = existing_group()
    if topology.world_size == 1 or distributed is None:
        return
    group = host_group(distributed) if group is None else group
    first, *others = gather(distributed, group, dict(fingerprint))
    differing = [
        f"{key}: {first.get(key)!r} on rank 0, {other.get(key)!r} on rank {rank}"
        for rank, other in enumerate(others, 1)
        for key in sorted({*first, *other})
        if other.get(key) != first.get(key)
    ]
    if differing:
        raise ConfigError(
            "the ranks of this run differ, and would wait for each other for ever:\n" + "\n".join(differing)
        )


def host_group(distributed: Any) -> Any:
    """Return a group of all ranks that talk from host to host, for the engine alone.

    In the group that trains, a message would wait for the kernels of a device, or meet one from a plugin's thread.
    """
    return distributed.new_group(backend="gloo") if distributed.is_gloo_available() else None


def gather(distributed: Any, group: Any, mine: Any) -> list[Any]:
    """Return what each rank calls *mine*, in the order of ranks."""
    everyones = [None] * distributed.get_world_size()
    distributed.all_gather_object(everyones, mine, group=group)
    return everyones


def gather_parts(mine: Any, group: Any = None) -> list[Any]:
    """Return what each rank calls *mine*; all ranks have to call this. Without a process group there is but one.

    They talk in *group*, or in one that is made for it, which lasts as long as the process.
    """
    distributed = existing_group()
    if distributed is None:
        return [mine]
    return gather(distributed, host_group(distributed) if group is None else group, mine)
