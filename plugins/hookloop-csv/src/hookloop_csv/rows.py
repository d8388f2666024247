"""Makes rows of what a model predicts. Tensors and arrays are known by their methods: nothing here imports torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hookloop import HookloopError

MOST_VALUES = 1000


class RowError(HookloopError):
    """A prediction of which no row can be made."""


def to_cpu(value: Any) -> Any:
    """Return *value* with each tensor in it on the CPU and without a graph: one copy a tensor, for the whole batch."""
    if hasattr(value, "detach"):
        return value.detach().cpu()
    if isinstance(value, Mapping):
        return {key: to_cpu(each) for key, each in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(to_cpu, value))
    if isinstance(value, (list, tuple)):
        return type(value)(map(to_cpu, value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        changes = {field.name: to_cpu(getattr(value, field.name)) for field in dataclasses.fields(value) if field.init}
        return dataclasses.replace(value, **changes)
    return value


def output_rows(output: Any, start: int) -> list[dict[str, Any]]:
    """Return a row for each sample of *output*, a tensor or array of shape ``(N,)`` or ``(N, ...)``.

    ``sample`` counts from *start*; ``output``, or ``output_0``, ``output_1`` and so on, are the values as they are.
    """
    shape = getattr(output, "shape", None)
    if shape is None or len(shape) == 0:
        what = "one number for the whole batch" if shape is not None else f"of type {type(output).__name__}"
        raise RowError(f"the model's output is {what}, not a tensor with a row for each sample. {NAME_ROWS}")
    count = 1
    for size in shape[1:]:
        count *= size
    if count > MOST_VALUES:
        raise RowError(f"the model's output has {count} values a sample, which would be as many columns. {NAME_ROWS}")
    names = ["output"] if len(shape) == 1 else [f"output_{i}" for i in range(count)]
    samples = output.reshape(shape[0], count).tolist()
    return [{"sample": start + i, **dict(zip(names, row, strict=True))} for i, row in enumerate(samples)]


NAME_ROWS = 'Name a function that makes rows of it: rows = "file.py:function", called with (batch, output).'


def user_rows(rows: Any, header: Sequence[str] | None, name: str) -> list[dict[str, Any]]:
    """Return the rows that the user's function *name* gave, as mappings with plain values.

    A row is a mapping, a sequence, whose values are named by *header* or else ``value_0``, ``value_1`` and so on, or
    one value, ``value``.
    """
    if not isinstance(rows, Iterable) or isinstance(rows, (str, bytes, Mapping)):
        raise RowError(f"{name} returned {type(rows).__name__}, not rows: return a list of them, or yield them.")
    return [user_row(row, header, name) for row in rows]


def user_row(row: Any, header: Sequence[str] | None, name: str) -> dict[str, Any]:
    """Return one row as a mapping."""
    row = plain(row)
    if isinstance(row, Mapping):
        unknown = [] if header is None else [str(key) for key in row if key not in header]
        if unknown:
            raise RowError(f"{name} gave {', '.join(unknown)}, which the header lacks: {', '.join(header or ())}.")
        return {str(key): plain(value) for key, value in row.items()}
    values = list(map(plain, row)) if isinstance(row, (list, tuple)) else [row]
    names = header or (["value"] if not isinstance(row, (list, tuple)) else [f"value_{i}" for i in range(len(values))])
    if len(names) != len(values):
        raise RowError(f"{name} gave a row of {len(values)} values for a header of {len(names)}: {', '.join(names)}.")
    return dict(zip(names, values, strict=True))


def plain(value: Any) -> Any:
    """Return *value* with a tensor, array or numpy number as what Python has for it."""
    return value.tolist() if hasattr(value, "tolist") else value
