"""The words of a problem with one value: what was given, and what is wanted instead."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import date, time
from typing import TYPE_CHECKING, Any

from hookloop.errors import suggest

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

# How pydantic's error types begin, and what the option wants.
_WANTED = {
    "int": "a whole number",
    "float": "a number",
    "decimal": "a number",
    "finite_number": "a finite number",
    "bool": "true or false",
    "string": "a string",
    "path": "a path",
    "list": "a list",
    "tuple": "a list",
    "set": "a list",
    "frozen_set": "a list",
    "iterable": "a list",
    "dict": "a table",
    "mapping": "a table",
    "model": "a table",
}
_LIMITS = {
    "greater_than": "a number greater than {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than": "a number less than {lt}",
    "less_than_equal": "a number of at most {le}",
    "multiple_of": "a multiple of {multiple_of}",
    "string_too_short": "a string with a length of at least {min_length}",
    "string_too_long": "a string with a length of at most {max_length}",
    "string_pattern_mismatch": "a string that matches '{pattern}'",
    "too_short": "at least {min_length} elements",
    "too_long": "at most {max_length} elements",
}
_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "a boolean"),
    (int, "a whole number"),
    (float, "a number"),
    (str, "a string"),
    (date, "a date"),
    (time, "a time"),
)
_CHOICE = re.compile(r"'([^']*)'")
_LONGEST_SHOWN = 60


def given(value: Any) -> str:
    """Say what *value* is: "'fast' (a string)"; of a list only its length, and of a table only that it is one."""
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple | set | frozenset):
        return f"a list of {len(value)}"
    kind = kind_of(value)
    return f"{_short(value)} ({kind})" if kind else f"an object of type {type(value).__name__}"


def kind_of(value: Any) -> str:
    """Return the kind of a single TOML value, "a string" or the like; empty for anything else."""
    return next((kind for known, kind in _KINDS if isinstance(value, known)), "")


def _short(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 4]}...{text[-1]}"


def wanted(details: ErrorDetails) -> tuple[str, str]:
    """Return what the option takes, and a hint on how to write the given value (or an empty one).

    Where pydantic's error is no matter of taking one value for another, what is wanted is empty.
    """
    kind, value, context = details["type"], details["input"], details.get("ctx", {})
    if kind in ("literal_error", "enum"):
        return str(context["expected"]), suggest(str(value), _CHOICE.findall(str(context["expected"])))
    if kind in _LIMITS:
        return _LIMITS[kind].format(**context), ""
    for start, words in _WANTED.items():
        if kind == start or kind.startswith(f"{start}_"):
            return words, _how_to_write(words, value)
    start, _, rest = details["msg"].partition("Input should be ")
    return ("", "") if start or not rest else (rest, "")


def _how_to_write(words: str, value: Any) -> str:
    if words == "a list" and isinstance(value, str):
        return f" Write [{json.dumps(value, ensure_ascii=False)}]."
    if words == "a string" and kind_of(value):
        return f' Put it in quotes: "{_short(value)}".'
    return ""
