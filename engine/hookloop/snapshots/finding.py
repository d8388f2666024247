"""Finding the snapshots of a run, and the one to resume from."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from hookloop.errors import SnapshotDamaged, SnapshotError
from hookloop.snapshots.cleaning import restore_replaced
from hookloop.snapshots.durable import put_aside
from hookloop.snapshots.manifest import Snapshot, read_manifest
from hookloop.snapshots.verifying import verify

log = logging.getLogger("hookloop")

CHECKPOINTS = "checkpoints"


def find(run_dir: Path) -> list[Snapshot]:
    """Return all snapshots of a run that have a readable manifest, of all instances and kinds, newest first.

    Nothing else of them is read. Those that a later hookloop has written are left out.
    """
    found = []
    for path in candidates(run_dir):
        with suppress(SnapshotError):
            found.append(read_manifest(path))
    return newest_first(found)


def newest_first(snapshots: Sequence[Snapshot]) -> list[Snapshot]:
    """Return *snapshots* in order: those of a later attempt come first, for it may have gone back some steps."""
    return sorted(snapshots, key=lambda each: (each.attempt, each.step, each.epoch, each.saved_at), reverse=True)


def newest_valid(run_dir: Path) -> Snapshot | None:
    """Return the newest resumable snapshot of a run that is what was written, or None when the run never had any.

    Each damaged one that is met on the way is renamed to ``.bad-NAME``, and logged as an error with its faults.
    Raises SnapshotError when there are snapshots but none to resume from, and when a later hookloop has written one:
    to begin anew is never decided here.
    """
    for instance in instance_directories(run_dir):
        restore_replaced(instance)
    readable = []
    for path in candidates(run_dir):
        try:
            readable.append(read_manifest(path))
        except SnapshotDamaged as error:
            quarantine(path, [str(error)])
    for snapshot in newest_first(readable):
        if snapshot.kind != "resumable":
            continue
        found = verify(snapshot.path)
        if not found:
            return snapshot
        quarantine(snapshot.path, found)
    raise_unless_none(run_dir)
    return None


def candidates(run_dir: Path) -> Iterator[Path]:
    """Yield the directories that are published as snapshots."""
    for instance in instance_directories(run_dir):
        yield from visible_directories(instance)


def instance_directories(run_dir: Path) -> list[Path]:
    """Return the directories of the plugin instances that save."""
    return visible_directories(run_dir / CHECKPOINTS)


def visible_directories(parent: Path) -> list[Path]:
    """Return the directories in *parent* that are not hidden, by name; none when it does not exist."""
    if not parent.is_dir():
        return []
    return sorted(each for each in parent.iterdir() if not each.name.startswith(".") and each.is_dir())


def quarantine(path: Path, found: Sequence[str]) -> None:
    """Take a damaged snapshot out of sight, but keep it: somebody may want to know what happened to it."""
    try:
        kept = f"It is kept as {put_aside(path, '.bad').name}."
    except OSError as error:
        kept = f"It cannot be renamed: {error.strerror}."
    log.error("the snapshot %s is damaged and not used: %s. %s", path, "; ".join(found).rstrip("."), kept)


def raise_unless_none(run_dir: Path) -> None:
    """Raise SnapshotError when the run has, or had, snapshots of any kind."""
    left = [f"{path} ({describe(path)})" for path in candidates(run_dir)]
    for instance in instance_directories(run_dir):
        left += [f"{path} (damaged)" for path in sorted(instance.glob(".bad-*"))]
    if left:
        raise SnapshotError(
            f"{run_dir} has snapshots, but none to resume from: {', '.join(left)}. "
            "Resume from another one with --resume PATH, or begin anew with --overwrite."
        )


def describe(path: Path) -> str:
    """Return why the snapshot at *path* is not resumed from."""
    try:
        kind = read_manifest(path).kind
    except SnapshotError:
        return "damaged"
    return {
        "resumable": "damaged",
        "weights": "holds only weights",
        "exception": "taken in a step that failed: only --resume PATH uses it",
    }[kind]
