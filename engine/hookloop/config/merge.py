"""Laying one configuration over another: tables key by key, of anything else the later wins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hookloop.config.keys import Key, dotted
from hookloop.config.secret import is_reference
from hookloop.config.tree import ConfigTree, Origin, Table, where
from hookloop.errors import Problem


def merge(below: ConfigTree, above: ConfigTree, problems: list[Problem]) -> ConfigTree:
    """Return *above* laid over *below*; a table where the other has a value is added to *problems*."""
    merging = _Merging(above, dict(below.origins), problems)
    data = merging.tables((), below.data, above.data)
    return ConfigTree(data, merging.origins, {**below.folders, **above.folders})


def with_defaults(tree: ConfigTree, defaults: Mapping[str, Any]) -> ConfigTree:
    """Return *tree* with *defaults* where it has no value, their origin ``default``."""
    return merge(ConfigTree.from_python(defaults, "default"), tree, [])


@dataclass(slots=True)
class _Merging:
    above: ConfigTree
    origins: dict[Key, Origin]
    problems: list[Problem]

    def tables(self, path: Key, below: Table, above: Table) -> Table:
        merged = dict(below)
        for key, value in above.items():
            here = (*path, key)
            merged[key] = self.values(here, below[key], value) if key in below else self.take(here, value)
        return merged

    def values(self, path: Key, below: Any, above: Any) -> Any:
        if isinstance(below, dict) and isinstance(above, dict):
            self.move_to_later_header(path)
            return self.tables(path, below, above)
        if _is_only_a_table(below) or _is_only_a_table(above):
            self.report(path, above)
        return self.take(path, above)

    def move_to_later_header(self, path: Key) -> None:
        # An override or a variable names one key of a table that a file wrote: the table still stands in the file.
        later = self.above.origin(path)
        if later.line is not None:
            self.origins[path] = later

    def take(self, path: Key, value: Any) -> Any:
        for stale in [known for known in self.origins if known[: len(path)] == path]:
            del self.origins[stale]
        self.origins[path] = self.above.origin(path)
        for known, origin in self.above.origins.items():
            if known[: len(path)] == path:
                self.origins[known] = origin
        return value

    def report(self, path: Key, above: Any) -> None:
        here, there = ("a table", "a value") if isinstance(above, dict) else ("a value", "a table")
        earlier = self.origins.get(path, "a layer below")
        message = f"{here} here, but {there} in {earlier}. Remove one of them, or make both the same kind."
        self.problems.append(Problem(where(self.above, path), dotted(path), message))


def _is_only_a_table(value: Any) -> bool:
    # A reference to a secret stands for one value, and may replace or be replaced by one.
    return isinstance(value, dict) and not is_reference(value)
