"""Puts plugins into their one order: built-ins, listed ones, the rest by name, moved by ``before`` and ``after``."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Protocol, TypeVar

from hookloop.errors import ConfigError
from hookloop.names import canonical


class Item(Protocol):
    """What is put in order: ``instance`` is its unique name, ``name`` that of the plugin it is an instance of."""

    @property
    def instance(self) -> str: ...  # noqa: D102
    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def builtin(self) -> bool: ...  # noqa: D102
    @property
    def before(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def after(self) -> Sequence[str]: ...  # noqa: D102


T = TypeVar("T", bound=Item)


def sort_plugins(items: Sequence[T], order: Sequence[str] = ()) -> list[T]:
    """Return *items* in call order, which depends on their names and wishes and not on the order they come in.

    Built-ins stand first, as given; then what *order* lists; then the rest by name. Of all orders that satisfy
    ``before`` and ``after`` it is the one nearest to that; a name in them that is absent asks for nothing. Raises
    ConfigError, which prints the cycle, when the wishes contradict each other.
    """
    base = _base_order(items, order)
    graph = TopologicalSorter(_predecessors(base))
    try:
        graph.prepare()
    except CycleError as error:
        cycle = " before ".join(f"'{base[index].instance}'" for index in error.args[1])
        message = f"plugins cannot be put in order: {cycle}. Take back one of their before or after."
        raise ConfigError(message) from None
    ready: list[int] = []
    result = []
    while graph.is_active():
        for index in graph.get_ready():
            heapq.heappush(ready, index)
        first = heapq.heappop(ready)
        graph.done(first)
        result.append(base[first])
    return result


def _base_order(items: Sequence[T], order: Sequence[str]) -> list[T]:
    position = {canonical(name): index for index, name in reversed(list(enumerate(order)))}

    def key(item: T) -> tuple[int, str, str]:
        of_its_plugin = position.get(canonical(item.name), len(order))
        listed = position.get(canonical(item.instance), of_its_plugin)
        return listed, canonical(item.instance), item.instance

    builtins = [each for each in items if each.builtin]
    return builtins + sorted((each for each in items if not each.builtin), key=key)


def _predecessors(base: Sequence[T]) -> dict[int, list[int]]:
    """Return for each index of *base* the indices that have to come before it."""
    graph: dict[int, list[int]] = {index: [] for index in range(len(base))}
    for index, item in enumerate(base):
        for other, candidate in enumerate(base):
            if _means(item, item.after, candidate):
                graph[index].append(other)
            if _means(item, item.before, candidate):
                graph[other].append(index)
    return graph


def _means(item: Item, names: Sequence[str], other: Item) -> bool:
    """Whether *names*, the wish of *item*, speak of *other*, by its own name or by that of its plugin.

    The name of its own plugin is no wish about the other instances of that plugin: each would ask it of the other.
    """
    if item is other:
        return False
    wanted = {canonical(name) for name in names}
    plugin = canonical(other.name)
    return canonical(other.instance) in wanted or (plugin in wanted and plugin != canonical(item.name))
