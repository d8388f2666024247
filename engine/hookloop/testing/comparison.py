"""Compares what two runs came to, bit by bit, and names the first difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def first_difference(one: Any, other: Any, path: str = "") -> str | None:
    """Return where *one* and *other* differ first, with both values, or None when they are bitwise equal.

    They are nested dictionaries, sequences, tensors and plain values. NaN equals NaN, and 0.0 does not equal -0.0.
    """
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return difference_of_keys(one, other, path) or first_of(
            first_difference(one[key], other[key], f"{path}/{key}") for key in one
        )
    if is_sequence(one) and is_sequence(other) and type(one) is type(other):
        if len(one) != len(other):
            return told(path, f"{len(one)} items", f"{len(other)} items")
        pairs = zip(one, other, strict=True)
        return first_of(first_difference(mine, its, f"{path}/{index}") for index, (mine, its) in enumerate(pairs))
    return None if bits(one) == bits(other) else told(path, short(one), short(other))


def difference_of_keys(one: Mapping[Any, Any], other: Mapping[Any, Any], path: str) -> str | None:
    """Return the first key that only one of the two has."""
    alone = [key for key in (*one, *other) if (key in one) != (key in other)]
    if not alone:
        return None
    here, there = ("there", "missing") if alone[0] in one else ("missing", "there")
    return told(f"{path}/{alone[0]}", here, there)


def first_of(differences: Any) -> str | None:
    """Return the first that is not None."""
    return next((each for each in differences if each is not None), None)


def is_sequence(value: Any) -> bool:
    """Tell a list or tuple from a text, which is compared as a whole."""
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def bits(value: Any) -> Any:
    """Return what is equal for two values if and only if their type and every bit of them are."""
    if isinstance(value, float):
        return float, value.hex()
    if not hasattr(value, "untyped_storage"):
        return type(value), value
    import torch

    raw = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return "tensor", value.dtype, value.shape, bytes(raw.tolist())


def short(value: Any) -> str:
    """Return *value* as text for a message."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def told(path: str, one: str, other: str) -> str:
    """Return one line about a difference."""
    return f"{path.lstrip('/') or 'the whole'}: {one} and {other}"
