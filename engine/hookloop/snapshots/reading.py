"""Reading a snapshot back: checked first, and without running any code that a file may hold."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from hookloop.errors import SnapshotDamaged, SnapshotError, suggest
from hookloop.snapshots import layout
from hookloop.snapshots.manifest import Snapshot, read_manifest, sharded_files
from hookloop.snapshots.shards import KEYS as SHARDED_KEYS
from hookloop.snapshots.shards import Counterpart
from hookloop.snapshots.verifying import Depth, faults, stray_files

MapLocation = str | torch.device

ARCHIVE = b"PK\x03\x04"  # torch.load would take a bare pickle as well


def read(
    path: Path,
    *,
    map_location: MapLocation = "cpu",
    parts: Sequence[str] | None = None,
    depth: Depth = "full",
    counterpart: Counterpart = lambda _: None,
) -> dict[str, Any]:
    """Return the state that was written as the snapshot at *path*, or of its keys only those in *parts*.

    Tensors come to *map_location*. Everything that is read is verified first, to *depth*; there is no falling back to
    another snapshot. What was shared out among processes comes whole, or where *counterpart* finds a DTensor of the
    same shape for its place, shared out as that is now: of the files, each process reads what it needs, and none waits
    for another. Raises SnapshotDamaged with all faults, and SnapshotError for a key that it does not have, for a
    file that holds code, and for a snapshot of a later hookloop.
    """
    snapshot = read_manifest(path)
    keys = list(snapshot.parts) if parts is None else list(parts)
    check_keys(snapshot, keys)
    shared_out = sharded_files(snapshot) if any(key in SHARDED_KEYS for key in keys) else []
    found = [*faults(snapshot, [*layout.files_of(snapshot.parts, keys), *shared_out], depth=depth)]
    if parts is None:
        found += stray_files(snapshot)
    if found:
        raise SnapshotDamaged(f"{path} is damaged: {'; '.join(found)}.")
    try:
        state = layout.join(snapshot.parts, keys, lambda file: load(path / file, map_location))
    except (KeyError, TypeError) as error:
        raise SnapshotDamaged(f"{path / layout.SHARED_FILE} does not hold what the manifest says: {error}.") from error
    if not shared_out:
        return state
    from hookloop.snapshots import sharded

    return sharded.fill(snapshot, state, counterpart, map_location)


def check_keys(snapshot: Snapshot, keys: Iterable[str]) -> None:
    """Raise SnapshotError for a key that *snapshot* does not have."""
    for key in keys:
        if key not in snapshot.parts:
            raise SnapshotError(
                f"{snapshot.path} has no '{key}'.{suggest(key, snapshot.parts)} It has {', '.join(snapshot.parts)}."
            )


def load(file: Path, map_location: MapLocation) -> Any:
    """Return what *file* holds: tensors and plain values, or nothing at all."""
    try:
        with file.open("rb") as stream:
            if stream.read(len(ARCHIVE)) != ARCHIVE:
                raise SnapshotError(f"{file} is no archive of torch.save: it may be code, and was not loaded.")
        return torch.load(file, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        raise SnapshotError(
            f"{file} holds code{f' ({named[1]})' if named else ''} and was not loaded: a snapshot consists of tensors "
            "and plain values only. Somebody else than hookloop has written this file."
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise SnapshotDamaged(f"{file} cannot be read: {error}") from error
