"""Validates the options of a plugin by the ``Config`` of its class."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from hookloop.errors import PluginConfigError
from hookloop.selection import Decision

if TYPE_CHECKING:
    from pydantic import BaseModel


def is_buildable(target: object) -> bool:
    """Tell a class or factory, which is called to make the plugin, from a ready plugin."""
    return inspect.isclass(target) or inspect.isroutine(target) or isinstance(target, functools.partial)


def config_model(target: object, decision: Decision) -> type[BaseModel] | None:
    """Return the pydantic model of the options of *target*, its ``Config``, or None when it takes none.

    It refuses unknown keys, also where the author left that open. Raises PluginConfigError when ``Config`` is no model.
    """
    model = getattr(target, "Config", None) if is_buildable(target) else None
    if model is None:
        return None
    from pydantic import BaseModel  # only now: most of what Python code gives has no Config, and pydantic takes long

    if not inspect.isclass(model) or not issubclass(model, BaseModel):
        message = f"its Config is {model!r}; it must be a pydantic model: class Config(pydantic.BaseModel)."
        raise PluginConfigError(decision.instance, decision.origin, message)
    if model.model_config.get("extra") == "forbid":
        return model
    # The name, module and docstring stay, as messages and the JSON Schema show them.
    body = {"__module__": model.__module__, "__qualname__": model.__qualname__, "__doc__": model.__doc__}
    strict = types.new_class(model.__name__, (model,), {"extra": "forbid"}, lambda namespace: namespace.update(body))
    return cast("type[BaseModel]", strict)


def validate_options(target: object, table: Mapping[str, object], decision: Decision) -> BaseModel | None:
    """Return the options in *table* as the ``Config`` of *target*, or None when it has none.

    Raises ``pydantic.ValidationError`` for options that the model refuses, and PluginConfigError for any options of a
    plugin that has none.
    """
    model = config_model(target, decision)
    if model is not None:
        return model.model_validate(dict(table))
    if table:
        place = decision.request.place if decision.request else ""
        why = "takes no options" if is_buildable(target) else "is a ready object, so it takes no options"
        message = f"it {why}, but {place} gives it {', '.join(table)}."
        raise PluginConfigError(decision.instance, decision.origin, message)
    return None
