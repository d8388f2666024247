"""Single values from outside the files: ``--set run.max_epochs=3`` and ``HOOKLOOP__RUN__MAX_EPOCHS=3``."""

from __future__ import annotations

import tomllib
from typing import Any

from hookloop.config.keys import DOTTED_KEY, Key, split_key
from hookloop.config.tree import ConfigTree, Origin, Table
from hookloop.errors import ConfigError, Problem

VARIABLE_PREFIX = "HOOKLOOP__"
_EXAMPLE = "Write KEY=VALUE, as in --set run.max_epochs=3"


def from_override(text: str) -> ConfigTree:
    """Return the tree of one ``--set``; ConfigError when *text* is not a dotted key, ``=`` and a value."""
    match = DOTTED_KEY.match(text)
    end = match.end() if match else 0
    if "=" not in text:
        raise ConfigError([Problem("--set", text, f"has no '='. {_EXAMPLE}.")])
    if match is None or text[end : end + 1] != "=":
        message = f"what stands before '=' is not a key. {_EXAMPLE}; quote a part that has special characters."
        raise ConfigError([Problem("--set", text, message)])
    try:
        path = split_key(match.group())
    except ValueError as error:
        raise ConfigError([Problem("--set", text, f"the key cannot be read: {error}. {_EXAMPLE}.")]) from None
    return _single(path, text[end + 1 :], Origin("--set"))


def from_variable(name: str, text: str, known: Table) -> ConfigTree:
    """Return the tree of one environment variable; its parts are matched to the keys of *known*, else lower-cased."""
    parts = name.removeprefix(VARIABLE_PREFIX).split("__")
    if not all(parts):
        message = f"has an empty key between its double underscores. Write {VARIABLE_PREFIX}RUN__MAX_EPOCHS=3."
        raise ConfigError([Problem(name, "", message)])
    path: Key = ()
    here: Any = known
    for part in parts:
        key = _matching(part, here if isinstance(here, dict) else {})
        path = (*path, key)
        here = here.get(key) if isinstance(here, dict) else None
    return _single(path, text, Origin(name))


def _matching(part: str, known: Table) -> str:
    lowered = part.lower()
    alike = [key for key in known if _folded(key) == _folded(part)]
    return lowered if lowered in alike or not alike else alike[0]


def _folded(key: str) -> str:
    return key.lower().replace("-", "_")


def _single(path: Key, text: str, origin: Origin) -> ConfigTree:
    if path[0] == "extends":
        message = "works in a file only; name another file with -c, or write it at the top of the file."
        raise ConfigError([Problem(str(origin), "extends", message)])
    data: Any = parse_value(text)
    for part in reversed(path):
        data = {part: data}
    return ConfigTree(data, {path[:length]: origin for length in range(1, len(path) + 1)})


def parse_value(text: str) -> Any:
    """Return *text* read as a TOML value, or as it is when it is none: a shell takes the quotes off a string."""
    try:
        table = tomllib.loads(f"value = {text}")
    except (tomllib.TOMLDecodeError, RecursionError):
        return text.strip()
    # A line break in the text could have begun a second key.
    return table["value"] if list(table) == ["value"] else text.strip()
