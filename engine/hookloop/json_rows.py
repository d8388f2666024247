"""Rows of numbers as JSON, which has neither NaN nor infinities: they are texts that ``float()`` reads."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import pydantic_core

__all__ = ["encode_row", "to_json"]


def encode_row(row: Mapping[str, Any]) -> bytes:
    """Return *row* as JSON, in UTF-8 and without a line end; NaN and infinities are texts that ``float()`` reads."""
    try:
        plain = row if type(row) is dict else dict(row)
        return pydantic_core.to_json(plain, inf_nan_mode="strings", fallback=str)
    except ValueError:  # a name that UTF-8 has no bytes for
        return json.dumps(to_json(row)).encode()


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
