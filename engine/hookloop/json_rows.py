"""Rows of numbers as JSON, which has neither NaN nor infinities: they are texts that ``float()`` reads."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["RowEncoder", "to_json"]

PLAIN = frozenset((int, float))  # what repr() writes as JSON does; a bool, or a number of numpy, it does not


class RowEncoder:
    """Writes rows of numbers as JSON objects, most of which have the names of the one before and only new numbers.

    An encoder that goes through all of a row each time takes half as long again; there may be a row for each step.
    """

    def __init__(self) -> None:
        self._names: tuple[str, ...] = ()
        self._template = "{}"

    def encode(self, row: Mapping[str, float]) -> str:
        """Return *row* as ``json.dumps`` writes it; NaN and infinities as texts."""
        names, values = tuple(row), tuple(row.values())
        if names != self._names:
            self._names = names
            self._template = "{" + ", ".join(json.dumps(str(name)).replace("%", "%%") + ": %r" for name in names) + "}"
        if math.isfinite(sum(values)) and PLAIN.issuperset(map(type, values)):
            return self._template % values
        return json.dumps(to_json(row))


def from_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """Undo `to_json` for one row."""
    return {key: float(value) if value in ("NaN", "Infinity", "-Infinity") else value for key, value in row.items()}


def to_json(value: Any) -> Any:
    """Return *value* with floats that JSON lacks as strings, and anything else that it lacks as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, Mapping):
        return {str(key): to_json(each) for key, each in value.items()}
    if isinstance(value, (str, int, float)) or value is None:
        return value
    if isinstance(value, Iterable):
        return [to_json(each) for each in value]
    return str(value)
