"""The configuration of a run as MLflow's parameters, which are flat, are texts, and can never be changed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from hookloop_mlflow.names import key_name

LONGEST_VALUE = 6000
# Where a run lies changes nothing about it, and neither does whether it may take a place or be resumed inexactly.
PLACES = ("run.run_dir", "run.runs_dir", "run.overwrite", "run.strict_resume")
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def parameters(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return *settings* as parameters: the keys of nested tables joined by dots, lists and numbers as JSON."""
    return {key_name(key): shorten(text_of(value), LONGEST_VALUE) for key, value in leaves(settings)}


def digest(settings: Mapping[str, Any], instance: str) -> str:
    """Return what tells *settings* from others that may train differently; those of *instance*, this plugin, do not."""
    own = f"plugins.{instance}."
    told = [each for each in leaves(settings) if each[0] not in PLACES and not f"{each[0]}.".startswith(own)]
    lines = sorted(f"{key}={ADDRESS.sub('', text_of(value))}" for key, value in told)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def leaves(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted key and value of all that is no table, or an empty one."""
    for key, value in table.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def text_of(value: Any) -> str:
    """Return *value* as text."""
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def shorten(text: str, longest: int) -> str:
    """Return *text*, or its beginning when it is longer than *longest* characters."""
    return text if len(text) <= longest else text[: longest - 1] + "…"
