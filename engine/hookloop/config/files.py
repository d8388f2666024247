"""Reading one TOML file, and those that it extends."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from hookloop.config.keys import Key
from hookloop.config.positions import key_lines
from hookloop.config.tree import ConfigTree, Origin, Table
from hookloop.errors import ConfigError, Problem, suggest

_MISTAKE_AT = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def read_layers(path: Path, problems: list[Problem]) -> list[ConfigTree]:
    """Return one tree per file: those that *path* extends, the most basic first, then *path* itself.

    What is wrong with any of them is added to *problems*.
    """
    return _layers(path, None, (), problems)


def _layers(path: Path, asked_at: Origin | None, chain: tuple[Path, ...], problems: list[Problem]) -> list[ConfigTree]:
    try:
        text = _text(path, asked_at)
        _check_cycle(path, asked_at, chain)
        tree = _parsed(path, text)
        bases = _extended(path, tree)
    except ConfigError as error:
        problems.extend(error.problems)
        return []
    layers = []
    for base, origin in bases:
        layers.extend(_layers(base, origin, (*chain, path), problems))
    return [*layers, tree]


def _check_cycle(path: Path, asked_at: Origin | None, chain: tuple[Path, ...]) -> None:
    if path.resolve() in [earlier.resolve() for earlier in chain]:
        circle = " -> ".join(map(str, (*chain, path)))
        raise _unreadable(path, asked_at, f"extends itself in a circle: {circle}. Remove one of these 'extends'.")


def _text(path: Path, asked_at: Origin | None) -> str:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise _unreadable(path, asked_at, f"no such file.{_near(path)}") from None
    except IsADirectoryError:
        raise _unreadable(path, asked_at, "is a directory. Name a TOML file in it.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise _unreadable(path, asked_at, f"cannot be read: {reason}.") from None
    try:
        # Some editors begin a file with a byte order mark, which TOML has no use for.
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = f"{path}:{raw[: error.start].count(10) + 1}"
        message = f"byte 0x{raw[error.start]:02x} is not UTF-8. Save the file with the encoding UTF-8."
        raise ConfigError([Problem(where, "", message)]) from None


def _near(path: Path) -> str:
    folder = path.parent
    return suggest(path.name, sorted(file.name for file in folder.glob("*.toml"))) if folder.is_dir() else ""


def _unreadable(path: Path, asked_at: Origin | None, message: str) -> ConfigError:
    if asked_at is None:
        return ConfigError([Problem(str(path), "", message)])
    return ConfigError([Problem(str(asked_at), "extends", f"{path}: {message}")])


def _parsed(path: Path, text: str) -> ConfigTree:
    # tomllib reads CR LF as one line end; so must the line numbers.
    text = text.replace("\r\n", "\n")
    try:
        data = tomllib.loads(text)
        lines = key_lines(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([_syntax_problem(path, text, str(error))]) from None
    except RecursionError:
        raise ConfigError([Problem(str(path), "", "lists or tables are nested too deeply to be read.")]) from None
    origins = {key: Origin(str(path), line) for key, line in lines.items()}
    return ConfigTree(data, origins, {str(path): path.absolute().parent})


def _syntax_problem(path: Path, text: str, message: str) -> Problem:
    match = _MISTAKE_AT.search(message)
    reason = message[: match.start()] if match else message
    if match and match[1]:
        where, column = f"{path}:{match[1]}", f" at column {match[2]}"
    else:
        last_line = text.rstrip().count("\n") + 1
        where, column = f"{path}:{last_line}", " at the end of the file"
    return Problem(where, "", f"not valid TOML: {reason}{column}.{_way_out(reason)}")


def _way_out(reason: str) -> str:
    if reason == "Invalid value":
        return " Text needs quotes, and true and false are written small."
    if reason.startswith("Cannot declare") or reason == "Cannot overwrite a value":
        return " A table or key may stand in a file once."
    return ""


def _extended(path: Path, tree: ConfigTree) -> list[tuple[Path, Origin]]:
    table: Table = tree.data
    value: Any = table.pop("extends", [])
    names = [value] if isinstance(value, str) else value
    origin = tree.origin(("extends",))
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        message = 'names the file below this one: extends = "base.toml", or a list of them.'
        raise ConfigError([Problem(str(origin), "extends", message)])
    keys: list[Key] = [("extends", str(index)) for index in range(len(names))]
    return [(path.parent / name, tree.origin(key)) for name, key in zip(names, keys, strict=True)]
