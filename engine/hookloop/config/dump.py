"""Configuration as TOML text: the run directory's config.toml, and the rows of ``hookloop config show``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import tomli_w

from hookloop.config.keys import Key, Location, dotted
from hookloop.config.secret import is_reference, redact
from hookloop.config.tree import ConfigTree, Table
from hookloop.interval import Interval

Default = Callable[[object], object] | None


def dump_toml(data: Mapping[str, Any], default: Default = None) -> str:
    """Return *data* as TOML that reads back equal, but for what TOML lacks.

    Keys whose value is None are left out, a path and an interval become text, a tuple becomes a list. *default* turns
    any other value into one of these; without it, TypeError names the key.
    """
    return tomli_w.dumps(_plain_table(data, (), default))


def _plain_table(table: Mapping[str, Any], path: Location, default: Default) -> Table:
    for key in table:
        if not isinstance(key, str):
            raise TypeError(f"{dotted(path) or 'configuration'}: the key {key!r} is not text, and TOML has no other")
    return {key: _plain(value, (*path, key), default) for key, value in table.items() if value is not None}


def _plain(value: Any, path: Location, default: Default) -> Any:
    if isinstance(value, Mapping):
        return _plain_table(value, path, default)
    if isinstance(value, list | tuple):
        return [_plain(inner, (*path, index), default) for index, inner in enumerate(value)]
    if isinstance(value, Path | Interval):
        return str(value)
    if isinstance(value, str | bool | int | float | date | datetime | time):
        return value
    if default is not None:
        return _plain(default(value), path, None)
    raise TypeError(f"{dotted(path)}: TOML has no {type(value).__name__}")


def show(tree: ConfigTree) -> list[tuple[str, str, str]]:
    """Return (dotted key, value as TOML, origin) of each value of *tree*, without its secrets."""
    return [(dotted(path), one_line(value), str(tree.origin(path))) for path, value in _leaves(redact(tree.data))]


def _leaves(table: Table, above: Key = ()) -> Iterator[tuple[Key, Any]]:
    for key, value in table.items():
        path = (*above, key)
        if isinstance(value, dict) and value and not is_reference(value):
            yield from _leaves(value, path)
        elif value is not None:
            yield path, value


def one_line(value: Any) -> str:
    """Return *value* as a TOML value on one line."""
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{dotted((key,))} = {one_line(inner)}" for key, inner in value.items() if inner is not None)
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(one_line, value))}]"
    return dump_toml({"value": "None" if value is None else value}, default=str).removeprefix("value = ").rstrip("\n")
