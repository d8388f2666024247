"""Texts with fields such as ``{outcome}``: a closed set, no formats and no attributes, checked before they are used."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

FIELDS = {
    "name": "the name of the run",
    "summary": "what happened, in one line",
    "outcome": "`completed`, `stopped`, `interrupted`, `preempted` or `failed`, `running` before the end",
    "command": "`fit`, `validate`, `test` or `predict`",
    "reason": "why it stopped, the signal, the error, or the conditions that became true",
    "step": "completed steps",
    "epoch": "completed epochs",
    "elapsed": "the time in the run, as in `1:02:03`, that before a resume included",
    "metrics": "the newest values, a line each; the option `metrics` says which",
    "metric:NAME": "the newest value of one metric, as in `{metric:val/loss}`; `-` where there is none",
    "error": "what it failed with, without a traceback",
    "traceback": "the last lines of the traceback",
    "directory": "the run directory",
    "host": "the machine",
}
"""What a template may name, and what that is."""

WHOLE_FIELDS = ("subject", "body", "text")
"""Also for what is sent: both templates as they came out, and one after the other."""

_METRIC = "metric:"
_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


def check_template(text: str, more: Collection[str] = ()) -> str:
    """Return *text* if each of its fields is one of `FIELDS` or *more*. ValueError says what is wrong with it.

    Nothing of *text* but the name of a field is quoted: it may hold a secret.
    """
    for match in _PIECE.finditer(text):
        piece, name = match[0], match[1]
        if name is None and piece in "{}":
            raise ValueError(
                f"has a single '{piece}', at character {match.start() + 1}; a brace is written {piece * 2}"
            )
        if name is not None:
            _check_field(name, [*FIELDS, *more])
    return text


def _check_field(name: str, known: list[str]) -> None:
    if name in known or (name.startswith(_METRIC) and len(name) > len(_METRIC)):
        return
    if not re.fullmatch(r"[a-z_]+(:[\w/]*)?", name):
        raise ValueError("has braces around what is no field; a brace itself is written {{ or }}")
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean '{near[0]}'?" if near else f"There are: {', '.join(known)}."
    raise ValueError(f"unknown field '{name}'. {hint}")


def render(text: str, fields: Mapping[str, str], metrics: Mapping[str, str]) -> str:
    """Return *text*, which was checked, with its fields filled in; what they hold is taken as it is."""

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name is None:
            return match[0][0]
        if name.startswith(_METRIC):
            return metrics.get(name.removeprefix(_METRIC), "-")
        return fields[name]

    return _PIECE.sub(value, text)


def strings_of(value: Any) -> list[str]:
    """Return the texts in *value*, a table or list of any depth."""
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
    return [text for each in inner for text in strings_of(each)]


def with_strings(value: Any, change: Callable[[str], str]) -> Any:
    """Return *value*, a table or list of any depth, with *change* of each text in it."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {key: with_strings(each, change) for key, each in value.items()}
    return [with_strings(each, change) for each in value] if isinstance(value, (list, tuple)) else value


def shortened(text: str, most: int) -> str:
    """Return *text* with *most* characters: what happened stands at its beginning, the reason at its end."""
    if len(text) <= most:
        return text
    gap = "\n[...]\n"
    start = (most - len(gap)) // 3
    return text[:start] + gap + text[len(text) - (most - len(gap) - start) :]
