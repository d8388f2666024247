"""Where a run is placed, and what it goes on from: decided by rank 0, and the same on all ranks.

Two ranks that look at a directory see different things: one of them has already made a file in it, or renamed a damaged
snapshot, or their views of a shared file system are of different age.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from hookloop.errors import ConfigError
from hookloop.options import RunOptions
from hookloop.records import holds_run, make_directory
from hookloop.resume import Origin, Resume, find_origin
from hookloop.run import Stage
from hookloop.topology import Topology, existing_group, first_decides


@dataclass(frozen=True)
class Placement:
    """The run directory, whether a new run begins in it, and what it goes on from, if anything."""

    directory: Path
    begins: bool
    origin: Origin | None = None


@dataclass(frozen=True)
class Wish:
    """What was asked for: the options, the command, what to go on from, and the directory of a run to add to."""

    options: RunOptions
    command: Stage
    resume: Resume | Literal[False] | None = None
    adds_to: Path | None = None

    @property
    def run_dir(self) -> Path | None:
        """The directory that was asked for."""
        return None if self.options.run_dir is None else Path(self.options.run_dir)


def place_run(wish: Wish, topology: Topology, group: Any) -> Placement:
    """Return where the run is to be, for all ranks alike; its directory is there then.

    Where there is no process group yet, ranks other than 0 are told later what they go on from, by `agree_on_origin`.
    Raises ConfigError and SnapshotError for what cannot be, and ConfigError when ranks that cannot talk to each other
    yet are not told a directory.
    """
    if topology.world_size == 1:
        return decide(wish)
    if existing_group() is not None:
        return with_state(first_decides(lambda: without_state(decide(wish)), group), wish)
    directory = wish.adds_to or wish.run_dir or directory_in(wish.resume)
    if directory is None:
        raise ConfigError(
            f"this is rank {topology.rank} of {topology.world_size}, and there is no process group yet in which the "
            "ranks could agree on a new run directory: name one with --run-dir, or call "
            "torch.distributed.init_process_group before."
        )
    if topology.rank == 0:
        return decide(wish)
    directory.mkdir(parents=True, exist_ok=True)
    begins = wish.command == "train" and wish.adds_to is None
    return with_state(
        Placement(directory, begins, None if wish.resume is None or wish.resume is False else Origin(directory)), wish
    )


def decide(wish: Wish) -> Placement:
    """Look at the directories, and make that of the run."""
    runs = Path(wish.options.runs_dir) / wish.options.name
    origin = None if wish.resume is None or wish.resume is False else find_origin(wish.resume, runs, wish.run_dir)
    if wish.adds_to is not None:
        return Placement(wish.adds_to, begins=False, origin=origin)
    run_dir = origin.directory or wish.run_dir if origin else wish.run_dir
    # An evaluation adds to a directory that holds a run, and leaves what that run wrote of itself as it is.
    adds = wish.command != "train" and run_dir is not None and holds_run(run_dir)
    place = make_directory(
        Path(wish.options.runs_dir),
        wish.options.name,
        run_dir,
        overwrite=wish.options.overwrite and not adds,
        resume=bool(origin) or adds,
    )
    return Placement(place, begins=not adds, origin=origin)


def directory_in(resume: Resume | Literal[False] | None) -> Path | None:
    """Return the run directory that *resume* names, or None when it names none, or a snapshot."""
    from hookloop.snapshots import MANIFEST

    if resume is None or isinstance(resume, (bool, Mapping)) or (Path(resume) / MANIFEST).exists():
        return None
    return Path(resume)


def without_state(placement: Placement) -> Placement:
    """Return *placement* as it is sent: each rank has a state in memory of its own."""
    origin = placement.origin
    return placement if origin is None else replace(placement, origin=replace(origin, state=None))


def with_state(placement: Placement, wish: Wish) -> Placement:
    """Undo `without_state`."""
    if placement.origin is None or not isinstance(wish.resume, Mapping):
        return placement
    return replace(placement, origin=replace(placement.origin, state=wish.resume))


def agree_on_origin(origin: Origin | None, attempt: int, group: Any) -> tuple[Origin | None, int]:
    """Return what rank 0 goes on from, and how often the run was begun as it counts; all ranks have to call this."""
    snapshot, attempt = first_decides(lambda: (None if origin is None else origin.snapshot, attempt), group)
    return (None if origin is None else replace(origin, snapshot=snapshot)), attempt
