"""Who is who among the plugins of a run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from hookloop import Run

P = TypeVar("P")


def loaded(run: Run) -> Iterable[Any]:
    """Return the plugins of *run*, each with its ``instance`` name and the ``plugin`` itself."""
    return cast("Iterable[Any]", run.plugins)


def instance_of(plugin: object, run: Run) -> str:
    """Return the name under which *plugin* takes part in *run*."""
    return next((str(each.instance) for each in loaded(run) if each.plugin is plugin), type(plugin).__name__)


def others_of(plugin: P, run: Run) -> dict[str, P]:
    """Return the other plugins of the class of *plugin*, by name."""
    return {
        each.instance: each.plugin
        for each in loaded(run)
        if each.plugin is not plugin and isinstance(each.plugin, type(plugin))
    }
