"""Telling whether a snapshot is what was written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from hookloop.errors import SnapshotDamaged
from hookloop.snapshots.manifest import MANIFEST, SHARDED, FileRecord, Snapshot, read_manifest, sharded_files

Depth = Literal["full", "size"]


def verify(path: Path, *, depth: Depth = "full") -> list[str]:
    """Return the faults of the snapshot at *path* in words; none when it is what was written.

    ``"size"`` reads the manifest only, and finds what is missing or cut off; ``"full"`` reads every byte.
    Raises SnapshotError when a later hookloop has written it.
    """
    try:
        snapshot = read_manifest(path)
    except SnapshotDamaged as error:
        return [str(error)]
    return [*stray_files(snapshot), *faults(snapshot, snapshot.files, depth=depth)]


def stray_files(snapshot: Snapshot) -> Iterator[str]:
    """Yield a fault for each file that the manifest does not name."""
    known = {*snapshot.files, MANIFEST}
    found = [each.name for each in snapshot.path.iterdir()]
    if sharded_files(snapshot) and SHARDED in found:
        found.remove(SHARDED)
        found += [f"{SHARDED}/{each.name}" for each in (snapshot.path / SHARDED).iterdir()]
    for name in sorted(found):
        # File servers and file managers leave hidden files of their own, which nobody ever loads.
        if name not in known and not Path(name).name.startswith("."):
            yield f"{name}: not in the manifest"


def faults(snapshot: Snapshot, names: Iterable[str], *, depth: Depth) -> Iterator[str]:
    """Yield the faults of the files *names*."""
    for name in names:
        fault = fault_of(snapshot.path / name, snapshot.files[name], depth)
        if fault:
            yield f"{name}: {fault}"


def fault_of(file: Path, record: FileRecord, depth: Depth) -> str:
    """Return what is wrong with *file*, or an empty string."""
    try:
        size_bytes = file.stat().st_size
        if size_bytes != record.size_bytes:
            return f"has {size_bytes} bytes, {record.size_bytes} were written"
        if depth == "full" and sha256_of(file) != record.sha256:
            return "checksum differs"
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return ""


def sha256_of(file: Path) -> str:
    """Return the checksum of *file*."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
