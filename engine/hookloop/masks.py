"""Hooks that a plugin does without: it has put None in the place of the method."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hookloop.dispatch import Implementation
    from hookloop.loading import LoadedPlugin


def masks_of(plugins: Iterable[LoadedPlugin]) -> frozenset[tuple[str, str]]:
    """Return instance and name of whatever of a class the plugin itself has None for."""
    return frozenset(
        (each.instance, name)
        for each in plugins
        for name, value in getattr(each.plugin, "__dict__", {}).items()
        if value is None and hasattr(type(each.plugin), name)
    )


def is_masked(implementation: Implementation) -> bool:
    """Return whether a plugin has put None in the place of the method since it was registered."""
    own = getattr(implementation.plugin, "__dict__", {})
    return own.get(getattr(implementation.function, "__name__", ""), implementation) is None
