"""What pydantic found wrong with a table, told as problems of the file: line, key, what was given, what is wanted."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hookloop.config.keys import Key, Location, dotted
from hookloop.config.model_paths import Place, locate
from hookloop.config.secret import HIDDEN, is_reference, is_secret_name
from hookloop.config.tree import ConfigTree, Origin, origin_of, where
from hookloop.config.wording import given, kind_of, wanted
from hookloop.errors import Problem, suggest

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails

_UNKNOWN_OPTION = ("extra_forbidden", "unexpected_keyword_argument")
_OWN_MESSAGE = ("value_error", "assertion_error")


@dataclass(frozen=True, slots=True)
class _Finding:
    """One error of pydantic: either a whole message, or what was given and what is wanted instead."""

    path: Location
    message: str = ""
    given: str = ""
    wanted: str = ""
    hint: str = ""


def render_validation_error(
    error: ValidationError,
    model: type[BaseModel],
    tree_or_origin: ConfigTree | Origin,
    prefix: Key,
    also_known: Collection[str] = (),
) -> list[Problem]:
    """Return a problem for each key that *error* is about, in the order in which the keys stand in the file.

    *prefix* is the path of the table that *model* was made from; *also_known* are keys of that table which are not the
    model's (the engine's own), for suggestions only. A value that came from a secret is not shown.
    """
    findings: dict[Location, list[_Finding]] = {}
    for details in error.errors(include_url=False):
        finding = _finding(details, locate(model, details["loc"]), tree_or_origin, prefix, also_known)
        findings.setdefault(finding.path, []).append(finding)

    def line(path: Location) -> tuple[str, int]:
        origin = origin_of(tree_or_origin, prefix + path)
        return origin.source, origin.line or 0

    return [
        Problem(where(tree_or_origin, prefix + path), dotted(prefix + path), message)
        for path in sorted(findings, key=line)
        for message in _messages(findings[path])
    ]


def _messages(group: Sequence[_Finding]) -> list[str]:
    # An option of several types has one error for each of them; together they say what is wanted.
    whole = [finding.message for finding in group if finding.message]
    wanted = dict.fromkeys(finding.wanted for finding in group if finding.wanted)
    if "a number" in wanted:
        wanted.pop("a whole number", None)
    if wanted:
        taken = next(finding for finding in group if finding.wanted)
        hint = taken.hint if len(wanted) == 1 else ""
        whole.insert(0, f"got {taken.given}, expected {' or '.join(wanted)}.{hint}")
    return list(dict.fromkeys(whole))


def _finding(
    details: ErrorDetails,
    place: Place,
    tree_or_origin: ConfigTree | Origin,
    prefix: Key,
    also_known: Collection[str],
) -> _Finding:
    kind = details["type"]
    if kind in _UNKNOWN_OPTION:
        return _Finding(place.path, _unknown(place, also_known))
    if kind == "missing":
        return _Finding(place.path, _missing(place))
    cover = _cover(details["input"], place.path, tree_or_origin, prefix)
    if kind in _OWN_MESSAGE:
        return _Finding(place.path, _own_message(details, cover))
    words, hint = wanted(details)
    if not words:
        return _Finding(place.path, f"{details['msg'][:1].lower()}{details['msg'][1:]}.")
    return _Finding(place.path, given=cover or given(details["input"]), wanted=words, hint="" if cover else hint)


def _unknown(place: Place, also_known: Collection[str]) -> str:
    names = [*place.siblings, *(also_known if len(place.path) == 1 else ())]
    near = suggest(str(place.path[-1]), names)
    if near or not names:
        return f"unknown option.{near}"
    return f"unknown option. There are: {', '.join(names)}."


def _missing(place: Place) -> str:
    field = place.siblings.get(str(place.path[-1]))
    meaning = (field.description or "").strip().partition("\n")[0] if field else ""
    return f"is required, and missing: {meaning}" if meaning else "is required, and missing."


def _cover(value: Any, path: Location, tree_or_origin: ConfigTree | Origin, prefix: Key) -> str:
    """Return what to show in place of a secret; empty for a value that is none."""
    keys = tuple(map(str, path))
    written: Any = tree_or_origin.value(prefix + keys) if isinstance(tree_or_origin, ConfigTree) else None
    if is_reference(written):
        return f'the value of {{ env = "{written["env"]}" }}'
    return f"{HIDDEN} ({kind_of(value)})" if kind_of(value) and any(map(is_secret_name, keys)) else ""


def _own_message(details: ErrorDetails, cover: str) -> str:
    text = str(details.get("ctx", {}).get("error", details["msg"]))
    secret = str(details["input"])
    return text.replace(secret, cover) if cover and secret else text
