"""Writing a snapshot, so that at any instant it is either there as a whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, Any

import torch

from hookloop.errors import SnapshotError
from hookloop.snapshots import layout
from hookloop.snapshots.copying import compact, size_of
from hookloop.snapshots.durable import erase, fsync_directory, make_directory, rename
from hookloop.snapshots.manifest import MANIFEST, FileRecord, Kind, Snapshot, encode
from hookloop.snapshots.owners import hidden_name
from hookloop.snapshots.shards import is_sharded


def write(
    directory: Path,
    name: str,
    state: Mapping[str, Any],
    *,
    kind: Kind = "resumable",
    instance: str,
    metrics: Mapping[str, float] | None = None,
    attempt: int = 0,
    group: Any = None,
) -> Snapshot:
    """Write *state* as the snapshot *directory*/*name* and return it once it is durable.

    *directory* is ``RUN_DIR/checkpoints/INSTANCE``; ``RUN_DIR`` has to exist. A snapshot that is there by that name is
    replaced. Nothing of *state* is changed. Where tensors of the model or of an optimizer are shared out among
    processes, all of them have to call this: they write together, under the name that rank 0 gives, in the process
    group *group*, which is used for nothing else at the same time; without one, a group is made. Raises SnapshotError
    when it cannot be written, with what was left of it removed and all other snapshots as they were; its cause is the
    OSError, if it is one.
    """
    target = directory / name
    if not name or name != Path(name).name or name.startswith("."):
        raise SnapshotError(f"'{name}' is no name for a snapshot: it is empty, has a '/', or starts with a dot.")
    state = dict(state)
    described = partial(describe, target, state, kind, instance, metrics or {}, attempt)
    if is_sharded(state):
        from hookloop.snapshots import sharded

        return sharded.write(target, state, described, group)
    needed_bytes = size_of(state)
    fresh = directory / hidden_name("tmp", name)
    try:
        make_directory(directory, within=directory.parent.parent)
        check_space(directory, needed_bytes)
        os.mkdir(fresh)  # noqa: PTH102 - in one line with the other calls of os that make up a publication
        return complete(fresh, target, state, {}, described)
    except OSError as error:
        raise SnapshotError(explain(error, target, needed_bytes)) from error
    finally:
        erase(fresh)  # which is there only when something went wrong


def complete(
    fresh: Path,
    target: Path,
    state: Mapping[str, Any],
    written: Mapping[str, FileRecord],
    describe: Callable[[layout.Parts, Mapping[str, FileRecord]], Snapshot],
) -> Snapshot:
    """Write *state* into *fresh* beside what is *written*, the manifest last, and publish it. Raises OSError."""
    parts = layout.assign_files(state)
    files = {file: write_file(fresh / file, saver(value)) for file, value in layout.split(state, parts)}
    snapshot = describe(parts, {**files, **written})
    write_file(fresh / MANIFEST, lambda file: file.write(encode(snapshot)))
    fsync_directory(fresh)
    publish(fresh, target)
    return snapshot


class HashingFile:
    """Takes what torch writes, and knows its size and checksum without reading it again.

    torch hides an error of the file behind one of its own: ``error`` is the true one.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.digest = hashlib.sha256()
        self.size_bytes = 0
        self.error: OSError | None = None

    def write(self, data: bytes | memoryview) -> int:
        """Write all of *data*. Raises OSError."""
        try:
            self.file.write(data)
        except OSError as error:
            self.error = error
            raise
        self.digest.update(data)
        self.size_bytes += memoryview(data).nbytes
        return memoryview(data).nbytes

    def flush(self) -> None:
        """Hand what is buffered to the system. Raises OSError."""
        try:
            self.file.flush()
        except OSError as error:
            self.error = error
            raise


def saver(value: Any) -> Callable[[HashingFile], None]:
    """Return a function that saves *value* to a file."""
    return lambda file: torch.save(compact(value), file)  # type: ignore[arg-type]  # all it needs is write and flush


def write_file(path: Path, save: Callable[[HashingFile], object]) -> FileRecord:
    """Write a new file durably and return its size and checksum. Raises OSError."""
    with path.open("xb") as raw:
        file = HashingFile(raw)
        try:
            save(file)
        except Exception as error:
            raise file.error or error from None
        raw.flush()
        os.fsync(raw.fileno())
    return FileRecord(file.size_bytes, file.digest.hexdigest())


def describe(
    path: Path,
    state: Mapping[str, Any],
    kind: Kind,
    instance: str,
    metrics: Mapping[str, float],
    attempt: int,
    parts: layout.Parts,
    files: Mapping[str, FileRecord],
) -> Snapshot:
    """Return what the manifest is to say."""
    counters = state.get("counters", {})
    return Snapshot(
        path=path,
        kind=kind,
        instance=instance,
        step=int(counters.get("step", 0)),
        epoch=int(counters.get("epoch", 0)),
        batch_index=int(counters.get("batch_index", 0)),
        samples=int(counters.get("samples", 0)),
        saved_at=datetime.now(UTC).isoformat(timespec="microseconds"),
        attempt=attempt,
        metrics={name: float(value) for name, value in metrics.items()},
        fingerprint=dict(state.get("fingerprint", {})),
        plugins={name: str(each.get("version", "")) for name, each in state.get("plugins", {}).items()},
        files=files,
        parts=parts,
    )


def publish(fresh: Path, target: Path) -> None:
    """Give *fresh* its name, in place of a snapshot that has it. Raises OSError."""
    if not os.path.lexists(target):
        rename(fresh, target)
        return
    # Between the two renames neither has the name. After a kill there, `newest_valid` and `clean` give it back.
    old = target.with_name(hidden_name("old", target.name))
    rename(target, old)
    try:
        rename(fresh, target)
    except OSError:
        with suppress(OSError):
            rename(old, target)
        raise
    erase(old)


def check_space(directory: Path, needed_bytes: int) -> None:
    """Raise OSError when *directory* surely has no room for *needed_bytes*."""
    usage = shutil.disk_usage(directory)
    # Some file systems tell of no size at all.
    if usage.total and usage.free < needed_bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(directory))


def explain(error: OSError, target: Path, needed_bytes: int) -> str:
    """Return the help page for a snapshot that could not be written."""
    try:
        free = f"{megabytes(shutil.disk_usage(target.parent).free)} are free there"
    except OSError:
        free = f"nothing can be learned about {target.parent}"
    return (
        f"the snapshot {target} could not be written: {error.strerror or error}. "
        f"It needs about {megabytes(needed_bytes)}, {free}. Snapshots that were saved before are untouched."
    )


def megabytes(size_bytes: int) -> str:
    """Return *size_bytes* in words."""
    return f"{size_bytes / 1e6:,.1f} MB"
