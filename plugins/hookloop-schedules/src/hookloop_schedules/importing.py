"""Tells the user's code from the name of a schedule, and finds it."""

from __future__ import annotations

from typing import Any

from hookloop import ConfigError, import_function


def is_location(text: object) -> bool:
    """Tell a location from a name."""
    return isinstance(text, str) and ":" in text


def import_location(text: str) -> Any:
    """Return what *text*, ``path/to/file.py:attr`` or ``module:attr``, names.

    Raises ValueError for what is not there and for what cannot be called; what an import raises goes through.
    """
    try:
        return import_function(text)
    except ConfigError as error:
        raise ValueError(str(error).rstrip(".").replace("; a function", ", and a function")) from None
