"""The schedule ``function``: a user's function of the progress, with its result looked at before it is used."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

from hookloop import ConfigError
from hookloop.schedules import Rate
from hookloop_schedules.importing import import_location

Own = Callable[..., Any]


def function(function: str | Own, **options: Any) -> Rate:
    """Let *function* say what the rate is, called with *options* as well.

    ``function(t, lr)`` gives the learning rate; ``function(t)`` gives the factor of the optimizer's own. It is a text,
    ``path/to/file.py:attr`` or ``module:attr``, or in Python the function itself.
    """
    try:
        wanted = import_location(function) if isinstance(function, str) else function
        count = values_taken(wanted, options)
    except ValueError as error:
        raise ValueError(str(error)) from error
    label = function if isinstance(function, str) else getattr(function, "__qualname__", repr(function))

    def rate(t: int, lr: float) -> float:
        if count == 1:
            return lr * number(wanted(t, **options), label, t)
        return number(wanted(t, lr, **options), label, t)

    return rate


def values_taken(function: Own, options: dict[str, Any]) -> int:
    """Return whether *function* takes t alone, 1, or t and lr, 2; ValueError when it takes neither beside *options*.

    It is asked for its signature and not tried: an error of its own must not look like a wrong number of arguments.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return 2  # written in C
    for count in (2, 1):
        try:
            signature.bind(*[0] * count, **options)
        except TypeError:
            continue
        return count
    names = ", ".join(options) or "none"
    raise ValueError(f"the function takes {signature}; it is called with (t, lr) or (t), and the options {names}")


def number(result: Any, label: str, t: int) -> float:
    """Return *result* as a float; ConfigError for what is no learning rate: whole numbers, of any library, are."""
    try:
        value = float(result)
    except (TypeError, ValueError):
        value = math.nan
    if isinstance(result, (str, bytes)) or not 0 <= value < math.inf:
        raise ConfigError(f"schedule: {label} gave {result!r} at {t}; a number that is 0 or more is wanted.")
    return value
