"""A configuration as one nested dict, with the origin of each value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hookloop.config.keys import Key

Table = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from: a file and line, ``--set``, an environment variable, ``default``."""

    source: str
    line: int | None = None

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}"


DEFAULT = Origin("default")


@dataclass(frozen=True, slots=True)
class ConfigTree:
    """The values (*data*), where each came from (*origins*), and the folder of each file (*folders*, by source)."""

    data: Table = field(default_factory=dict)
    origins: Mapping[Key, Origin] = field(default_factory=dict)
    folders: Mapping[str, Path] = field(default_factory=dict)

    @classmethod
    def from_python(cls, data: Mapping[str, Any], source: str = "Python") -> ConfigTree:
        """Return the tree of values that were given in Python, all with *source* as their origin."""
        own = _copy(data)
        return cls(own, {path: Origin(source) for path in _paths(own)})

    def origin(self, path: Key) -> Origin:
        """Return where *path* came from: of a key that stands nowhere, where its nearest parent does."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.origins:
                return self.origins[path[:length]]
        return DEFAULT

    def base(self, path: Key) -> Path:
        """Return the folder that a relative file name at *path* starts from: its file's, else the current one."""
        return self.folders.get(self.origin(path).source) or Path.cwd()

    def value(self, path: Key) -> Any:
        """Return the value at *path*, where a list is entered by index; None when there is none."""
        here: Any = self.data
        for part in path:
            if isinstance(here, dict):
                here = here.get(part)
            elif isinstance(here, list) and part.isdecimal() and int(part) < len(here):
                here = here[int(part)]
            else:
                return None
        return here


def where(tree_or_origin: ConfigTree | Origin | None, path: Iterable[str | int]) -> str:
    """Return the place to name in a problem with the value at *path*; empty when it was not written anywhere."""
    origin = origin_of(tree_or_origin, path)
    return "" if origin == DEFAULT else str(origin)


def origin_of(tree_or_origin: ConfigTree | Origin | None, path: Iterable[str | int]) -> Origin:
    """Return the origin of the value at *path*, where all of a configuration may have the same one, or none."""
    if isinstance(tree_or_origin, ConfigTree):
        return tree_or_origin.origin(tuple(map(str, path)))
    return tree_or_origin or DEFAULT


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(inner) for key, inner in value.items()}
    return value


def _paths(table: Table, above: Key = ()) -> Iterator[Key]:
    for key, value in table.items():
        path = (*above, key)
        yield path
        if isinstance(value, dict):
            yield from _paths(value, path)
