"""Which process this is among how many, as an existing process group or a launcher's environment says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hookloop.control import Control
from hookloop.errors import ConfigError


@dataclass(frozen=True)
class Topology:
    """The number of this process, how many there are, and its number on this machine."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0


def find_topology(environ: Mapping[str, str]) -> Topology:
    """Return the topology: of a process group that exists, else of the launcher's variables, else a single process."""
    local = int(environ.get("LOCAL_RANK", 0))
    group = existing_group()
    if group is not None:
        return Topology(group.get_rank(), group.get_world_size(), local)
    return Topology(int(environ.get("RANK", 0)), int(environ.get("WORLD_SIZE", 1)), local)


def existing_group() -> Any:
    """Return ``torch.distributed`` when a process group is there to be used, else None.

    Nobody can have made one without importing the module, which takes long, so it is not imported to find out.
    """
    import sys

    distributed = sys.modules.get("torch.distributed")
    ready = distributed is not None and distributed.is_available() and distributed.is_initialized()
    return distributed if ready else None


def agreement(topology: Topology) -> Callable[[Control], None] | None:
    """Return what makes all ranks hold the same proposals, or None for a single process.

    Raises ConfigError when there are several ranks and no process group to agree in.
    """
    if topology.world_size == 1:
        return None
    distributed = existing_group()
    if distributed is None:
        raise ConfigError(
            f"this is rank {topology.rank} of {topology.world_size}, and there is no process group: each rank would "
            "train a model of its own. Switch on a plugin that makes one, or call torch.distributed.init_process_group."
        )

    def agree(control: Control) -> None:
        proposals: list[Any] = [None] * topology.world_size
        distributed.all_gather_object(proposals, (control.signal, control.stop_reason, control.save_reason))
        signals, stops, saves = zip(*proposals, strict=True)
        control.signal = next((each for each in signals if each is not None), None)
        control.stop_reason = next((each for each in stops if each is not None), None)
        control.save_reason = next((each for each in saves if each is not None), None)

    return agree


def check_same_everywhere(topology: Topology, fingerprint: Mapping[str, Any]) -> None:
    """Raise ConfigError, naming what differs, when ranks run different plugins, versions, orders or configurations."""
    distributed = existing_group()
    if topology.world_size == 1 or distributed is None:
        return
    all_of_them: list[Any] = [None] * topology.world_size
    distributed.all_gather_object(all_of_them, dict(fingerprint))
    differing = [
        f"{key}: {all_of_them[0].get(key)!r} on rank 0, {other.get(key)!r} on rank {rank}"
        for rank, other in enumerate(all_of_them)
        for key in sorted({*all_of_them[0], *other})
        if other.get(key) != all_of_them[0].get(key)
    ]
    if differing:
        message = "the ranks of this run differ, and would wait for each other for ever:"
        raise ConfigError("\n".join([message, *differing]))
