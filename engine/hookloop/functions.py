"""Finds the user's function that an option of a plugin names: ``path/to/file.py:function`` or ``module:function``."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from hookloop.errors import ConfigError
from hookloop.locations import import_file


def is_function_location(text: str) -> bool:
    """Return whether *text* has the form of a location, rather than that of a name."""
    container, _, attribute = text.rpartition(":")
    return bool(container) and all(part.isidentifier() for part in attribute.split("."))


def check_function_location(text: str) -> str:
    """Return *text*; ValueError when it does not have the form of a location. Made to validate an option."""
    if not is_function_location(text):
        raise ValueError(f"'{text}' must be path/to/file.py:function or module:function")
    return text


def import_function(text: str) -> Callable[..., Any]:
    """Return the function; a relative path starts from the current directory.

    A file is imported once, also when the task comes from it. Raises ConfigError for what is not there or cannot be
    called; what an import raises goes through.
    """
    container, _, attribute = text.rpartition(":")
    module = import_own_file(Path(container)) if container.endswith(".py") else import_named(container)
    try:
        function = functools.reduce(getattr, attribute.split("."), module)
    except AttributeError:
        raise ConfigError(f"'{text}': there is no '{attribute}' in {container}.") from None
    if not callable(function):
        raise ConfigError(f"'{text}' is of type {type(function).__name__}; a function is wanted.")
    return function


def import_own_file(path: Path) -> ModuleType:
    """Import a file of the user's."""
    if not path.is_file():
        raise ConfigError(f"there is no file '{path}' in {Path.cwd()}.")
    return import_file(path)


def import_named(name: str) -> ModuleType:
    """Import a module by its dotted name."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.partition(".")[0]:
            raise
        raise ConfigError(
            f"there is no module '{name}'. A file of your own is named by its path: file.py:function"
        ) from None
