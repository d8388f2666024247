"""What a run goes on from: a snapshot that is found or named, or a state in memory."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hookloop.errors import ConfigError
from hookloop.records import LATEST, Records, holds_run, outcome_of
from hookloop.run import Run
from hookloop.state import check_format, fingerprint, load_run_state

log = logging.getLogger("hookloop")

Resume = Literal[True] | str | Path | Mapping[str, Any]


@dataclass(frozen=True)
class Origin:
    """Where a run goes on from, before it is read.

    ``directory`` is the run directory to go on in, or None for a new one. Of ``snapshot`` and ``state`` one is given;
    neither means that there is nothing yet, and the run begins.
    """

    directory: Path | None = None
    snapshot: Path | None = None
    state: Mapping[str, Any] | None = None


def find_origin(resume: Resume, runs: Path, run_dir: Path | None) -> Origin:
    """Return what *resume* means for a run in *run_dir*, or in a directory of *runs*.

    True is the newest valid snapshot of *run_dir*, or of the newest run in *runs*; a run directory is its own newest
    valid snapshot; a snapshot is that one alone. Raises ConfigError for a path that is neither, and SnapshotError for a
    snapshot that is damaged, and for a run of whose snapshots none is valid.
    """
    if isinstance(resume, Mapping):
        return Origin(directory=run_dir, state=resume)
    if isinstance(resume, bool):
        return newest_of(run_dir or newest_run(runs), named=False)
    path = Path(resume)
    from hookloop import snapshots

    if (path / snapshots.MANIFEST).exists():
        faults = snapshots.verify(path)
        if faults:
            raise snapshots.SnapshotDamaged(f"{path} is damaged, and is not resumed from: {'; '.join(faults)}.")
        check_free(run_dir, path)
        return Origin(directory=run_dir, snapshot=path)
    if not path.is_dir():
        raise ConfigError(f"--resume {path}: there is no such directory. Give that of a run, or of a snapshot in it.")
    if not holds_run(path):
        raise ConfigError(f"--resume {path}: this is neither a run directory nor a snapshot of one.")
    if run_dir is not None and run_dir.resolve() != path.resolve():
        raise ConfigError(f"--resume {path} goes on in that very directory, and --run-dir says {run_dir}: give one.")
    return newest_of(path, named=True)


def check_free(run_dir: Path | None, snapshot: Path) -> None:
    """Raise ConfigError when *run_dir* holds another run than that of *snapshot*, which would be overwritten."""
    if run_dir is not None and holds_run(run_dir) and not lies_in(snapshot, run_dir):
        raise ConfigError(
            f"--resume {snapshot}: {run_dir} holds a run already, and this is not one of its snapshots. Go on with "
            f"that run with --resume {run_dir}, or choose another directory with --run-dir."
        )


def lies_in(snapshot: Path, directory: Path) -> bool:
    """Return whether *snapshot* is one of the run in *directory*."""
    return snapshot.resolve().is_relative_to(directory.resolve())


def newest_run(runs: Path) -> Path | None:
    """Return the directory of the newest run in *runs*, or None."""
    latest = runs / LATEST
    if latest.is_file():  # where the file system has no links
        latest = runs / latest.read_text(encoding="utf-8").strip()
    return latest.resolve() if latest.is_dir() else None


def newest_of(directory: Path | None, *, named: bool) -> Origin:
    """Return the newest valid snapshot of the run in *directory*; without any, the beginning, which is told."""
    from hookloop import snapshots

    found = snapshots.newest_valid(directory) if directory is not None and directory.is_dir() else None
    if found is not None:
        return Origin(directory=directory, snapshot=found.path)
    if directory is None or not holds_run(directory):
        log.warning("there is no run to resume%s: this one begins", f" in {directory}" if directory else "")
    elif named:
        raise ConfigError(
            f"--resume {directory}: this run has no snapshot. It was saved by no plugin, or never came to it."
        )
    elif outcome_of(directory) in ("completed", "stopped"):
        raise ConfigError(
            f"{directory} holds a run that has ended and left no snapshot: there is nothing to resume. Replace it with "
            "--overwrite, or choose another directory with --run-dir."
        )
    else:
        log.warning("%s holds no snapshot to resume from: the run begins anew, in the same directory", directory)
    return Origin(directory=directory)


@dataclass(frozen=True)
class Continuation:
    """What is left to do and to say once a state is in place: random numbers, which come last, and what differs now.

    When it was saved by another number of processes, ``ranks``, there are no random numbers to go on with, and ``data``
    is what the first of them said of its place in the data.
    """

    rng: Mapping[str, Any] | None = None
    differing: str = ""
    ranks: int = 1
    data: Mapping[str, Any] | None = None


def go_on(run: Run, records: Records, origin: Origin) -> Continuation:
    """Put the state of *origin* in place, all but its random numbers; nothing where a run begins.

    Whatever the run's directory has of the time behind that state is done again: it is taken out of ``metrics.jsonl``.
    """
    state = read_state(run, origin)
    if state is None:
        records.go_on(0)
        return Continuation()
    ranks, own = part_of(run, state)
    load_run_state(run, as_shared_out(run, {**state, "model": {**state["model"], **own.get("model", {})}}))
    if ranks == run.world_size:
        run.source.load_state_dict(own["data"])
    if origin.snapshot is not None:
        take_place_of(run, records, origin.snapshot)
    run.history = records.go_on(state["log"]["rows"])
    differing = differences(state.get("fingerprint", {}), fingerprint(run))
    if ranks == run.world_size:
        return Continuation(own["rng"], differing)
    return Continuation(None, differing or f"world_size {ranks} then and {run.world_size} now", ranks, own["data"])


def part_of(run: Run, state: Mapping[str, Any]) -> tuple[int, Mapping[str, Any]]:
    """Return how many processes *state* is of, and what this one has to itself in it; of other numbers, the first's."""
    check_format(state)
    if "ranks" not in state:  # one in memory has the part of its own process
        return state.get("fingerprint", {}).get("world_size", 1), {"rng": state["rng"], "data": state["data"]}
    ranks = state["ranks"]
    return len(ranks), ranks[run.rank if len(ranks) == run.world_size else 0]


def as_shared_out(run: Run, state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return *state* with whole tensors shared out among the processes where those of the model are."""
    from hookloop.snapshots import shards

    own = {"model": run.model.state_dict()}
    return shards.lay_out(state, shards.counterparts(run)) if shards.is_sharded(own) else state


def read_state(run: Run, origin: Origin) -> Mapping[str, Any] | None:
    """Return the state to go on from, as the plugins want it."""
    if origin.snapshot is None:
        return origin.state
    from hookloop import snapshots
    from hookloop.snapshots import shards

    # It was verified when it was found.
    state: dict[str, Any] = snapshots.read(origin.snapshot, depth="size", counterpart=shards.counterparts(run))
    if run.plugins.hooks.on_checkpoint_load:
        run.plugins.hooks.on_checkpoint_load(run, state)
    return state


def take_place_of(run: Run, records: Records, snapshot: Path) -> None:
    """Make the run's directory that of a run which has just saved *snapshot*."""
    run.resumed_from = run.last_checkpoint = snapshot
    if run.rank == 0 and lies_in(snapshot, run.directory):
        put_later_ones_aside(run.directory, snapshot)
    elif run.rank == 0:
        records.copy_metrics(snapshot.resolve().parents[2])
    if run.plugins.hooks.on_checkpoint_loaded:
        run.plugins.hooks.on_checkpoint_loaded(run, snapshot)


def put_later_ones_aside(directory: Path, snapshot: Path) -> None:
    """Hide the snapshots of *directory* that lie behind *snapshot*: the run goes on from there and makes them anew."""
    from hookloop import snapshots

    begun = snapshots.read_manifest(snapshot)
    for each in snapshots.find(directory):
        if (each.step, each.epoch) <= (begun.step, begun.epoch):
            continue
        try:
            hidden = snapshots.put_aside(each.path, ".aside").name
        except OSError as error:
            log.warning("%s is newer than what the run goes on from, and cannot be put aside: %s", each.path, error)
        else:
            log.warning("%s is newer than what the run goes on from: it is put aside as %s", each.path, hidden)


def differences(saved: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    """Say what differs of what bit-exact results depend on."""
    return ", ".join(
        f"{name} {saved.get(name)!r} then and {own[name]!r} now" for name in own if saved.get(name) != own[name]
    )
