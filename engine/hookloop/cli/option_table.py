"""The options of a plugin, read off its ``Config``: name, type, default and meaning of each."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hookloop.config.dump import one_line
from hookloop.config.secret import HIDDEN, is_secret_name

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

NAMES = {int: "integer", float: "number", str: "string", bool: "boolean", type(None): "none"}


@dataclass(frozen=True)
class Option:
    """One option. ``default`` is written as in TOML; None when the option is required."""

    name: str
    type: str
    default: str | None
    doc: str


def options_of(model: type[BaseModel] | None) -> list[Option]:
    """Return the options of *model* in its order."""
    return list(_options(model)) if model is not None else []


def _options(model: type[BaseModel]) -> Iterator[Option]:
    for name, field in model.model_fields.items():
        shown = field.validation_alias if isinstance(field.validation_alias, str) else name
        doc = " ".join((field.description or "").split())
        yield Option(shown, type_name(field.annotation), default_of(shown, field), doc)


def default_of(name: str, field: FieldInfo) -> str | None:
    """Return the default as TOML has it, without a secret."""
    if field.is_required():
        return None
    value = field.get_default(call_default_factory=True) if takes_nothing(field) else "computed"
    if value is None:
        return "none"
    return HIDDEN if is_secret_name(name) and isinstance(value, str) and value else one_line(plain(value))


def takes_nothing(field: FieldInfo) -> bool:
    """Return whether the default can be known without the values of other options."""
    return not getattr(field, "default_factory_takes_validated_data", False)  # which pydantic has since 2.10.1


def plain(value: Any) -> Any:
    """Return *value*, a model, set or secret of pydantic's too, as something that TOML can write."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if hasattr(value, "get_secret_value"):
        return HIDDEN if value.get_secret_value() else ""
    return sorted(value, key=str) if isinstance(value, set | frozenset) else value


def type_name(annotation: Any) -> str:
    """Return the type of an option in the words of a configuration: "integer or none", "list of string"."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return type_name(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(type_name(each) for each in arguments))
    if origin is typing.Literal:
        return " or ".join(json.dumps(each) for each in arguments)
    if origin is dict:
        return f"table of {type_name(arguments[1])}"
    if origin in (list, set, frozenset, tuple):
        kinds = dict.fromkeys(type_name(each) for each in arguments if each is not Ellipsis)
        return f"list of {' or '.join(kinds)}"
    return NAMES.get(annotation) or str(getattr(annotation, "__name__", annotation)).lower()
