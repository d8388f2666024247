"""Following the location of a pydantic error through the model: which key it means, and which options stand beside it.

For a field of several types pydantic puts the name of the type it tried into the location, which is no key of the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

from hookloop.config.keys import Location

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo


@dataclass(frozen=True, slots=True)
class Place:
    """The key that a location means, and the fields, by the names a file may use, of the table the key stands in."""

    path: Location
    siblings: Mapping[str, FieldInfo]


def locate(model: type[BaseModel], location: Location) -> Place:
    """Return the place in a table of *model* that pydantic's *location* means."""
    path: Location = ()
    here: list[Any] = [model]
    above: list[Any] = []
    label_is_next = False
    for part in location:
        if label_is_next:
            here, label_is_next = [kind for kind in here if _label(kind) == part] or here, False
        elif part != "[key]":
            path = (*path, part)
            above, here = here, [member for kind in here for member in _members(_inner(kind, part))]
            label_is_next = len(here) > 1
    siblings = {name: info for kind in above for name, info in _fields(kind).items()}
    return Place(path, siblings)


def _members(annotation: Any) -> list[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _members(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return [member for choice in get_args(annotation) for member in _members(choice)]
    return [] if annotation in (None, NoneType) else [annotation]


def _label(kind: Any) -> str:
    return getattr(kind, "__name__", str(kind))


def _inner(kind: Any, part: str | int) -> Any:
    fields = _fields(kind)
    if fields:
        return fields[str(part)].annotation if part in fields else None
    arguments = get_args(kind)
    origin = get_origin(kind)
    if not arguments or not isinstance(origin, type):
        return None
    if issubclass(origin, Mapping):
        return arguments[1]
    if issubclass(origin, tuple) and isinstance(part, int) and Ellipsis not in arguments:
        return arguments[part] if part < len(arguments) else None
    return arguments[0] if issubclass(origin, Iterable) else None


def _fields(kind: Any) -> dict[str, FieldInfo]:
    fields: Mapping[str, FieldInfo] = getattr(kind, "model_fields", {}) if isinstance(kind, type) else {}
    return {spelling: info for name, info in fields.items() for spelling in _spellings(kind, name, info)}


def _spellings(model: type[BaseModel], name: str, info: FieldInfo) -> Sequence[str]:
    from pydantic import AliasChoices

    alias = info.validation_alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    spellings = [choice for choice in choices if isinstance(choice, str)]
    by_name = model.model_config.get("populate_by_name") or model.model_config.get("validate_by_name")
    return [*spellings, name] if by_name or not spellings else spellings
