"""What a state may be made of: what torch loads again without executing code. Looked at when it is saved."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

import torch

PLAIN = (type(None), bool, int, float, complex, str, bytes, bytearray, torch.Size, torch.dtype, torch.device)
CONTAINERS = (dict, OrderedDict, Counter, list, tuple, set)


def check_plain(state: Any, path: str) -> None:
    """Raise TypeError, with the place below *path*, for what could not be loaded again."""
    for place, value in unusable(state, path):
        raise TypeError(
            f"{place} is {kind_of(value)}, which cannot be loaded again without executing code. "
            "Save tensors, numbers, strings, lists, tuples, sets and dictionaries: .item() of a numpy number, "
            "torch.from_numpy of an array, str of a path"
        )


def unusable(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield each part of *value* that is neither a tensor nor plain, with its place."""
    if is_plain(value):
        return
    if type(value) not in CONTAINERS:
        yield path, value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from unusable(key, f"the key {key!r} of {path}")
            yield from unusable(each, f"{path}[{key!r}]")
    else:
        for index, each in enumerate(value):
            yield from unusable(each, f"{path}[{index}]")


def is_plain(value: Any) -> bool:
    """Return whether *value* is a tensor or a plain value that torch loads again."""
    if isinstance(value, torch.Tensor):
        kind = type(value)
        return kind.__module__.partition(".")[0] == "torch" or kind in torch.serialization.get_safe_globals()
    # No bytes at all are pickled as a call of bytes(), and torch refuses every call.
    return type(value) in PLAIN and not (type(value) is bytes and not value)


def kind_of(value: Any) -> str:
    """Return what *value* is, for a sentence."""
    kind = type(value)
    return "an empty bytes object" if kind is bytes else f"a {kind.__module__}.{kind.__qualname__}"
