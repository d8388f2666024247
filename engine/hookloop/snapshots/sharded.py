"""Snapshots of a model that is shared out among processes: each one writes its part through DCP.

`torch.distributed.checkpoint` writes into a subdirectory of the very directory that is written for any snapshot; the
rest of the state, and the manifest with the checksums of all files, are written by rank 0 as for any other.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta
from torch.distributed.checkpoint.state_dict_loader import _load_state_dict
from torch.distributed.checkpoint.state_dict_saver import save

from hookloop.errors import SnapshotDamaged, SnapshotError
from hookloop.snapshots import layout, shards
from hookloop.snapshots.copying import size_of
from hookloop.snapshots.durable import erase, fsync_directory, make_directory
from hookloop.snapshots.manifest import SHARDED, FileRecord, Snapshot, sharded_files
from hookloop.snapshots.owners import hidden_name
from hookloop.snapshots.safe_metadata import read_metadata
from hookloop.snapshots.verifying import sha256_of
from hookloop.snapshots.writing import check_space, complete, explain
from hookloop.topology import existing_group, first_decides, gather, host_group

Describe = Callable[[layout.Parts, Mapping[str, FileRecord]], Snapshot]
Share = tuple[dict[str, FileRecord], Exception | None]

METADATA = ".metadata"


class Writer(FileSystemWriter):
    """DCP's own, but the name of a directory that is renamed right after does not go into its files."""

    def storage_meta(self) -> StorageMeta:
        """Return nothing of note."""
        return StorageMeta()


class Reader(FileSystemReader):
    """DCP's own, with metadata that was read without running code."""

    def __init__(self, path: Path, metadata: Metadata) -> None:
        super().__init__(path)
        self.metadata = metadata

    def read_metadata(self, *_: Any, **__: Any) -> Metadata:
        """Return what was read."""
        return self.metadata


def write(target: Path, state: Mapping[str, Any], describe: Describe, group: Any) -> Snapshot:
    """Write *state* as the snapshot *target*, all ranks together, and return it on all of them once it is durable.

    The directory is that of rank 0, whatever *target* is elsewhere. *group* is used for nothing else at the same time;
    without one, a group is made. Raises SnapshotError on all ranks alike, as `hookloop.snapshots.write` does.
    """
    distributed = existing_group()
    if distributed is None:
        raise SnapshotError(f"{target}: the model is shared out, and there is no process group any more to save it in.")
    group = host_group(distributed) if group is None else group
    skeleton, parts = shards.separate(state)
    needed_bytes = sum(each.numel() * each.element_size() for each in parts.values())
    fresh = None
    try:
        target, fresh = first_decides(lambda: begin(target, needed_bytes + size_of(skeleton)), group)
        everyones = gather(distributed, group, save_own(parts, fresh / SHARDED, group, distributed.get_rank(group)))
        raise_first(everyones, target)
        files = {name: record for share, _ in everyones for name, record in share.items()}
        snapshot: Snapshot = first_decides(lambda: finish(fresh, target, skeleton, files, describe), group)
    except OSError as error:
        raise SnapshotError(explain(error, target, needed_bytes)) from error
    except RuntimeError as error:  # of the group
        raise SnapshotError(f"{target} was not written: another rank is gone, or does not answer: {error}") from error
    finally:
        if fresh is not None and distributed.get_rank(group) == 0:
            erase(fresh)  # which is there only when something went wrong
    return snapshot


def begin(target: Path, needed_bytes: int) -> tuple[Path, Path]:
    """Make the directory to write into; return that of the snapshot, and this one. Raises OSError."""
    directory = target.parent
    make_directory(directory, within=directory.parent.parent)
    check_space(directory, needed_bytes)
    fresh = directory / hidden_name("tmp", target.name)
    os.makedirs(fresh / SHARDED)  # noqa: PTH103 - in one line with the other calls of os that make up a publication
    return target, fresh


def save_own(parts: shards.Shards, place: Path, group: Any, rank: int) -> Share:
    """Write what this rank holds to *place*, durably; return its files, or what prevented it: the others wait."""
    try:
        save(parts, storage_writer=Writer(place, overwrite=False), process_group=group)
        fsync_directory(place)
        return {f"{SHARDED}/{file.name}": record(file) for file in own_files(place, rank)}, None
    except (Exception, CheckpointException) as error:  # the latter is no Exception
        return {}, cause_of(error)


def own_files(place: Path, rank: int) -> Iterator[Path]:
    """Yield the files that DCP writes on *rank*."""
    yield from place.glob(f"__{rank}_*")
    if rank == 0:
        yield place / METADATA


def record(file: Path) -> FileRecord:
    """Return size and checksum of *file*. Raises OSError."""
    return FileRecord(file.stat().st_size, sha256_of(file))


def cause_of(error: BaseException) -> Exception:
    """Return the OSError behind *error* if there is one, else an error that another process can be told."""
    if isinstance(error, CheckpointException):
        first, *_ = (failure for failure, _ in error.failures.values())
        return cause_of(first)
    each: BaseException | None = error
    while each is not None:
        if isinstance(each, OSError):
            return OSError(each.errno, each.strerror or str(each))
        each = each.__cause__ or each.__context__
    return SnapshotError(f"{type(error).__name__}: {error}")


def raise_first(everyones: list[Share], target: Path) -> None:
    """Raise what the first rank of those that failed has failed with: that of the system, if there is one."""
    failed = [(rank, error) for rank, (_, error) in enumerate(everyones) if error is not None]
    for rank, error in sorted(failed, key=lambda each: not isinstance(each[1], OSError)):
        if isinstance(error, OSError):
            raise error
        raise SnapshotError(f"the snapshot {target} could not be written: rank {rank}: {error}")


def finish(
    fresh: Path, target: Path, skeleton: Mapping[str, Any], files: dict[str, FileRecord], describe: Describe
) -> Snapshot:
    """Write the rest of the state beside the parts and the manifest last, and publish. Raises OSError."""
    there = {f"{SHARDED}/{each.name}" for each in (fresh / SHARDED).iterdir()}
    if there != set(files):
        raise SnapshotError(
            f"{target}: not all ranks have written into the same directory: of {', '.join(sorted(there ^ set(files)))} "
            "one side does not know. The run directory has to be on a file system that all of them share."
        )
    fsync_directory(fresh / SHARDED)
    return complete(fresh, target, skeleton, files, describe)


def fill(
    snapshot: Snapshot, state: Mapping[str, Any], counterpart: shards.Counterpart, map_location: str | torch.device
) -> dict[str, Any]:
    """Return *state* with what was shared out: whole tensors, or as *counterpart* says how they are shared out now.

    Each process reads what it needs of all files; none waits for another.
    """
    place = snapshot.path / SHARDED
    metadata = read_metadata(place / METADATA, {Path(name).name for name in sharded_files(snapshot)})
    known = metadata.state_dict_metadata
    targets: dict[str, Any] = {}
    other_shapes: dict[str, Any] = {}

    def prepare(where: shards.Place, tensor: torch.Tensor) -> torch.Tensor:
        key = shards.key_of(where)
        if not tensor.is_meta or key not in known:
            return tensor
        own = counterpart(where)
        if own is not None and own.shape == tensor.shape:
            targets[key] = torch.empty_like(own, dtype=tensor.dtype)
        else:
            targets[key] = torch.empty(tensor.shape, dtype=tensor.dtype, device=map_location)
            if own is not None and where[0] == "optimizers":
                other_shapes[key] = own
        return tensor

    shards.walk(dict(state), prepare)
    load(place, metadata, targets)
    for key, own in other_shapes.items():
        targets[key] = shards.everywhere(targets[key], own)
    return shards.put_back(state, targets)


def load(place: Path, metadata: Metadata, targets: dict[str, Any]) -> None:
    """Read into *targets* what they show. Raises SnapshotDamaged where that is not what there is."""
    planner = DefaultLoadPlanner(flatten_state_dict=False, flatten_sharded_tensors=False)
    try:
        _load_state_dict(targets, storage_reader=Reader(place, metadata), planner=planner, no_dist=True)
    except CheckpointException as error:
        raise SnapshotDamaged(f"{place} cannot be read: {cause_of(error)}") from error
