"""Reads which plugins were asked for, by the ``[plugins]`` tables of a file or by Python code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeGuard, get_args

from hookloop.config.keys import dotted
from hookloop.errors import Problem, suggest
from hookloop.locations import is_location, location_name
from hookloop.names import canonical, kebab
from hookloop.policy import Policy

OnError = Literal["raise", "warn", "disable"]

RESERVED_KEYS = ("use", "enabled", "on_error", "before", "after")
"""The keys of a plugin's table that are the engine's; all others are the plugin's own."""

SETTINGS = ("disable", "autoload", "order")
"""The keys of ``[plugins]`` that are not tables."""

Where = Callable[[str], str]
Base = Callable[[str], Path]


@dataclass(frozen=True)
class Request:
    """One instance of a plugin that somebody wrote down.

    ``use`` is the name of an installed plugin, or a file or module argument, whose relative file starts from ``base``.
    ``table`` holds the plugin's own options. ``where`` is the place it was written, ``enabled_where`` that of its
    ``enabled``, ``key`` its dotted key in a file. ``target`` is a class, a factory or a ready object given in Python.
    """

    instance: str
    use: str
    table: Mapping[str, object] = field(default_factory=dict)
    enabled: bool | None = None
    on_error: OnError = "raise"
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    where: str = ""
    enabled_where: str = ""
    key: str = ""
    base: Path | None = None
    target: object | None = None

    @property
    def place(self) -> str:
        """Where it was written, for a sentence."""
        return self.where or f"[{self.key}]"

    @property
    def names(self) -> frozenset[str]:
        """The canonical names by which it is switched on and off: its own and that of the plugin it uses."""
        return frozenset({canonical(self.instance), canonical(self.use)})


def read_requests(
    plugins: Mapping[str, object], where: Where, base: Base | None = None
) -> tuple[list[Request], Policy, list[Problem]]:
    """Read the merged ``[plugins]`` table: its instances, its settings, and everything that is wrong with it.

    *where* says for a dotted key in which file and line it stands, *base* from which directory a relative file starts.
    """
    reader = _Reader(plugins, "plugins", where)
    policy = Policy(
        file_disable=reader.names("disable"),
        autoload=reader.boolean("autoload") is not False,
        order=reader.names("order"),
        disable_where=where("plugins.disable"),
        autoload_where=where("plugins.autoload"),
        order_where=where("plugins.order"),
    )
    requests = []
    problems = reader.problems
    for name, table in plugins.items():
        key = dotted(("plugins", name))
        if name in SETTINGS:
            continue
        if isinstance(table, Mapping):
            inner = _Reader(table, key, where)
            requests.append(_read_instance(name, inner, base(f"{key}.use") if base else None))
            problems += inner.problems
        else:
            hint = suggest(name, SETTINGS) or f" A plugin is switched on by a table: [{key}]"
            problems.append(Problem(where(key), key, f"unknown setting.{hint}"))
    return requests, policy, problems


def read_python(plugins: Iterable[object], where: str = "Engine(plugins=...)") -> tuple[list[Request], list[Problem]]:
    """Read what Python code gives as plugins: a name, a class or a ready object, or a pair of a name and one of these.

    ``(name, {options})`` is what the table of that name is in a file, and ``(name, "plugin")`` a table with only a use.
    Objects that were given without a name are numbered where their class does not tell them apart: stopper, stopper-2.
    """
    requests: list[Request] = []
    problems: list[Problem] = []
    seen: Counter[str] = Counter()
    for plugin in plugins:
        name, given = plugin if _is_pair(plugin) else (_instance_name(plugin), plugin)
        seen[name] += 1
        if seen[name] > 1 and given is plugin and not isinstance(plugin, str):
            name = f"{name}-{seen[name]}"
        table = {"use": given} if isinstance(given, str) else given if isinstance(given, Mapping) else {}
        reader = _Reader(table, name, lambda _: where)
        request = replace(_read_instance(name, reader, None), key="")
        requests.append(request if isinstance(given, (str, Mapping)) else replace(request, target=given))
        problems += reader.problems
    return requests, problems


def _is_pair(plugin: object) -> TypeGuard[tuple[str, object]]:
    return isinstance(plugin, tuple) and len(plugin) == 2 and isinstance(plugin[0], str)


def _instance_name(plugin: object) -> str:
    if isinstance(plugin, str):
        return location_name(plugin) if is_location(plugin) else plugin
    return kebab(str(getattr(plugin, "__name__", type(plugin).__name__)))


def _read_instance(name: str, reader: _Reader, base: Path | None) -> Request:
    return Request(
        instance=name,
        use=reader.text("use") or name,
        table={key: value for key, value in reader.table.items() if key not in RESERVED_KEYS},
        enabled=reader.boolean("enabled"),
        on_error=reader.on_error(),
        before=reader.names("before"),
        after=reader.names("after"),
        where=reader.where(reader.path),
        enabled_where=reader.where(f"{reader.path}.enabled"),
        key=reader.path,
        base=base,
    )


@dataclass
class _Reader:
    """Takes typed values out of one table and notes what has the wrong type."""

    table: Mapping[str, object]
    path: str
    where: Where
    problems: list[Problem] = field(default_factory=list)

    def names(self, key: str) -> tuple[str, ...]:
        value = self.table.get(key, ())
        if isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value):
            return tuple(value)
        self._refuse(key, "a list of plugin names")
        return ()

    def boolean(self, key: str) -> bool | None:
        value = self.table.get(key)
        if value is None or isinstance(value, bool):
            return value
        self._refuse(key, "true or false")
        return None

    def text(self, key: str) -> str:
        value = self.table.get(key, "")
        if isinstance(value, str) and (value or key not in self.table):
            return value
        self._refuse(key, "the name of a plugin, path/to/file.py:attr or module:attr")
        return ""

    def on_error(self) -> OnError:
        value = self.table.get("on_error", "raise")
        for choice in get_args(OnError):
            if value == choice:
                return choice  # type: ignore[no-any-return]
        self._refuse("on_error", '"raise", "warn" or "disable"')
        return "raise"

    def _refuse(self, key: str, wanted: str) -> None:
        path = f"{self.path}.{key}"
        self.problems.append(Problem(self.where(path), path, f"must be {wanted}, not {self.table[key]!r}."))
