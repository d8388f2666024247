"""The configuration of a run as hyper-parameters: one name and one value each."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Value = bool | float | str


def flat(settings: Mapping[str, Any], left_out: Sequence[str] = ()) -> dict[str, Value]:
    """Return the values of *settings* by dotted names, without the tables that *left_out* names.

    A list is a text, as is a number that is not finite, which the page cannot show. What has no value is not there.
    """
    found = dict(walk(settings, ""))
    return {name: value for name, value in found.items() if not f"{name}.".startswith(tuple(f"{n}." for n in left_out))}


def walk(value: Any, name: str) -> Iterator[tuple[str, Value]]:
    """Yield the values in *value* with their names."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from walk(each, f"{name}.{key}" if name else str(key))
    elif isinstance(value, float) and not math.isfinite(value):
        yield name, str(value)
    elif isinstance(value, bool | int | float | str):
        yield name, value
    elif isinstance(value, list | tuple):
        yield name, json.dumps(value, default=str, ensure_ascii=False)
    elif value is not None:
        yield name, str(value)
