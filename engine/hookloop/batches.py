"""What the engine knows of a batch: how many samples it holds, what is input and what target, how it is moved."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import torch

INPUT_NAMES = ("input", "inputs", "x", "image", "images", "features")
TARGET_NAMES = ("target", "targets", "y", "label", "labels")


def first_tensor(batch: Any) -> torch.Tensor | None:
    """Return the first tensor in *batch*, however deep it lies, or None."""
    if isinstance(batch, torch.Tensor):
        return batch
    for part in parts(batch):
        found = first_tensor(part)
        if found is not None:
            return found
    return None


def parts(batch: Any) -> Sequence[Any]:
    """Return the members of a tuple, list, dict, or dataclass; nothing for anything else."""
    if isinstance(batch, Mapping):
        return list(batch.values())
    if isinstance(batch, (tuple, list)):
        return batch
    if dataclasses.is_dataclass(batch) and not isinstance(batch, type):
        return [getattr(batch, field.name) for field in dataclasses.fields(batch)]
    return ()


def batch_size(batch: Any) -> int:
    """Return the length of the first dimension of the first tensor in *batch*; 1 for a batch with no such tensor."""
    tensor = first_tensor(batch)
    return tensor.shape[0] if tensor is not None and tensor.ndim else 1


def move(batch: Any, device: torch.device) -> Any:
    """Return *batch* with every tensor in it, and everything else that has a method ``to``, on *device*.

    The copy of pinned memory does not wait. Named tuples, mappings and dataclasses keep their type.
    """
    if isinstance(batch, torch.Tensor):
        return batch.to(device, non_blocking=batch.is_pinned() if device.type == "cuda" else False)
    if callable(getattr(batch, "to", None)):
        return batch.to(device)
    if isinstance(batch, Mapping):
        return with_items(batch, {key: move(value, device) for key, value in batch.items()})
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(move(part, device) for part in batch))
    if isinstance(batch, (tuple, list)):
        return type(batch)(move(part, device) for part in batch)
    if dataclasses.is_dataclass(batch) and not isinstance(batch, type):
        return dataclasses.replace(batch, **{f.name: move(getattr(batch, f.name), device) for f in init_fields(batch)})
    return batch


def with_items(mapping: Mapping[Any, Any], items: dict[Any, Any]) -> Mapping[Any, Any]:
    """Return a mapping of the type of *mapping* that holds *items*, with whatever else it knows."""
    if type(mapping) is dict:
        return items
    if isinstance(mapping, MutableMapping):
        same = copy.copy(mapping)
        same.update(items)
        return same
    return type(mapping)(items)  # type: ignore[call-arg]


def init_fields(batch: Any) -> list[dataclasses.Field[Any]]:
    """Return the fields that a dataclass takes in its constructor."""
    return [field for field in dataclasses.fields(batch) if field.init]


def pick(batch: Any, index: int, names: Sequence[str], role: str) -> Any:
    """Return member *index* of a pair, or the member of a dict or dataclass that has one of *names*.

    Raises TypeError, naming what to override, when *batch* has no such member.
    """
    if isinstance(batch, (tuple, list)):
        if index < len(batch):
            return batch[index]
    elif isinstance(batch, Mapping):
        for name in names:
            if name in batch:
                return batch[name]
    else:
        for name in names:
            if hasattr(batch, name):
                return getattr(batch, name)
    raise TypeError(
        f"cannot tell which part of a {type(batch).__name__} batch is the {role}. Give batches as (input, target) "
        f"pairs, as dicts or dataclasses with one of the names {', '.join(names)}, or override Task.{role}(batch)."
    )
