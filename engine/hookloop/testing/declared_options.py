"""Reads what a plugin declares of its options, for the clauses of the contract that are about them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, get_args

if TYPE_CHECKING:
    from pydantic import BaseModel


def models_in(model: type[BaseModel], seen: tuple[type[BaseModel], ...] = ()) -> Iterator[type[BaseModel]]:
    """Yield *model* and every model that its fields hold, each once."""
    yield model
    for field in model.model_fields.values():
        for inner in models_of(field.annotation):
            if inner not in (model, *seen):
                yield from models_in(inner, (model, *seen))


def models_of(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models that *annotation* names, such as in ``list[Rule] | None``."""
    from pydantic import BaseModel

    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from models_of(part)


def undescribed(model: type[BaseModel]) -> list[str]:
    """Return the options without a description, as ``Config.name``."""
    return [
        f"{each.__name__}.{name}"
        for each in dict.fromkeys(models_in(model))
        for name, field in each.model_fields.items()
        if not (field.description or "").strip()
    ]


def thawed(model: type[BaseModel]) -> list[str]:
    """Return the names of the models whose values can be changed after they were validated."""
    return [each.__name__ for each in dict.fromkeys(models_in(model)) if not each.model_config.get("frozen")]


def lenient(model: type[BaseModel]) -> list[str]:
    """Return the names of the models inside *model* that take unknown keys; of *model* itself the engine sees to it."""
    inner = list(dict.fromkeys(models_in(model)))[1:]
    return [each.__name__ for each in inner if each.model_config.get("extra") != "forbid"]


def misspelt(model: type[BaseModel] | None) -> tuple[str, str]:
    """Return an option of *model* and the name that a slip of the finger makes of it; no option when there is none."""
    names = [field.alias or name for name, field in model.model_fields.items()] if model else []
    if not names:
        return "", "no_such_option"
    slip = names[0] + names[0][-1]
    while slip in names:
        slip += names[0][-1]
    return names[0], slip
