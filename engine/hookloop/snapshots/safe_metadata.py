"""Reading the ``.metadata`` of `torch.distributed.checkpoint`, which is a pickle, without running what it may hold.

torch unpickles the file and believes it. Here nothing in it can be called: what torch's own classes would become are
records without any behaviour, every other name is refused, and of the records only what was looked at goes on.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint.filesystem import _StorageInfo
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    StorageMeta,
    TensorProperties,
    TensorStorageMetadata,
)

from hookloop.errors import SnapshotDamaged, SnapshotError


class Record:
    """What stands in for an object of one of torch's classes while the file is read."""

    state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __getitem__(self, name: str | int) -> Any:
        """Return a part of the state of the object. Raises KeyError, IndexError or TypeError when it has none."""
        return self.state[name]


class TensorRecord(Record):
    """Stands in for a `TensorStorageMetadata`."""


class PropertiesRecord(Record):
    """Stands in for a `TensorProperties`, whose state is a tuple: the first of it is the type of the numbers."""


def nothing(*_: object) -> None:
    """Stand in for what is not looked at."""


METADATA = "torch.distributed.checkpoint.metadata"
STAND_INS: dict[tuple[str, str], Callable[..., Any]] = {
    (METADATA, "Metadata"): Record,
    (METADATA, "TensorStorageMetadata"): TensorRecord,
    (METADATA, "TensorProperties"): PropertiesRecord,
    (METADATA, "ChunkStorageMetadata"): Record,
    (METADATA, "MetadataIndex"): Record,
    (METADATA, "StorageMeta"): Record,
    (METADATA, "_MEM_FORMAT_ENCODING"): nothing,
    ("builtins", "getattr"): nothing,  # by which the Enum of some versions of Python is pickled
    ("torch.distributed.checkpoint.filesystem", "_StorageInfo"): Record,
    ("torch.serialization", "_get_layout"): nothing,
    ("torch", "Size"): tuple,
}


class RecordUnpickler(pickle.Unpickler):
    """Makes records of what torch writes; raises SnapshotError, which names *file*, for any other name."""

    def __init__(self, data: bytes, file: Path) -> None:
        super().__init__(io.BytesIO(data))
        self.file = file

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for a class of torch; a type of numbers is itself."""
        if (module, name) in STAND_INS:
            return STAND_INS[module, name]
        number_type = getattr(torch, name, None) if module == "torch" else None
        if isinstance(number_type, torch.dtype):
            return number_type
        raise SnapshotError(
            f"{self.file} holds code ({module}.{name}) and was not loaded: it consists of sizes and places of tensors "
            "only. Somebody else than hookloop has written this file."
        )


def read_metadata(file: Path, names: Collection[str]) -> Metadata:
    """Return what *file* says about the tensors that lie in the files *names* beside it.

    Raises SnapshotError for a file that holds code, and SnapshotDamaged for one that says anything else.
    """
    try:
        raw = RecordUnpickler(file.read_bytes(), file).load()
        return Metadata(
            state_dict_metadata={checked(key, str): tensor(each) for key, each in raw["state_dict_metadata"].items()},
            storage_data=dict(place(index, info, names) for index, info in raw["storage_data"].items()),
            storage_meta=StorageMeta(),
        )
    except SnapshotError:
        raise
    except Exception as error:  # whatever a pickle that was made up may lead to
        raise SnapshotDamaged(f"{file} cannot be read: {type(error).__name__}: {error}") from error


def tensor(record: Any) -> TensorStorageMetadata:
    """Return what *record* says of a tensor. Raises TypeError when it tells of something else, such as a pickle."""
    chunks = [
        ChunkStorageMetadata(size(each["offsets"]), size(each["sizes"]))
        for each in checked(checked(record, TensorRecord)["chunks"], list)
    ]
    dtype = checked(checked(record["properties"], PropertiesRecord)[0], torch.dtype)
    return TensorStorageMetadata(TensorProperties(dtype=dtype), size(record["size"]), chunks)


def place(index: Any, info: Any, names: Collection[str]) -> tuple[MetadataIndex, _StorageInfo]:
    """Return a part of a tensor, and where it lies. Raises ValueError for a file that is not one of *names*."""
    if info["relative_path"] not in names:
        raise ValueError(f"{info['relative_path']!r} is none of the files of this snapshot")
    offset, length = size((info["offset"], info["length"]))
    return MetadataIndex(checked(index["fqn"], str), size(index["offset"])), _StorageInfo(
        info["relative_path"], offset, length
    )


def size(numbers: Iterable[Any]) -> torch.Size:
    """Return *numbers*, each a whole number from 0. Raises TypeError or ValueError for others."""
    sizes = torch.Size(checked(each, int) for each in numbers)
    if any(each < 0 for each in sizes):
        raise ValueError(f"{tuple(sizes)} is no size")
    return sizes


def checked(value: Any, kind: type) -> Any:
    """Return *value* if it is of *kind*. Raises TypeError when it is not."""
    if type(value) is not kind:
        raise TypeError(f"a {type(value).__name__} in the place of a {kind.__name__}")
    return value
