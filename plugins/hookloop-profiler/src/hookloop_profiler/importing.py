"""Finds the user's function that the text ``path/to/file.py:function`` or ``module:function`` names."""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

from pydantic import AfterValidator

from hookloop import ConfigError


def check_location(text: str) -> str:
    """Return *text* if it has the form of a location."""
    container, _, attribute = text.rpartition(":")
    if not container or not all(part.isidentifier() for part in attribute.split(".")):
        raise ValueError(f"'{text}' must be path/to/file.py:function or module:function")
    return text


Location = Annotated[str, AfterValidator(check_location)]


def import_function(text: str) -> Callable[..., Any]:
    """Return the function; a relative path starts from the current directory.

    Raises ConfigError for what is not there or cannot be called; what an import raises goes through.
    """
    container, _, attribute = text.rpartition(":")
    module = import_file(Path(container)) if container.endswith(".py") else import_named(container)
    try:
        function = functools.reduce(getattr, attribute.split("."), module)
    except AttributeError:
        raise ConfigError(f"'{text}': there is no '{attribute}' in {container}.") from None
    if not callable(function):
        raise ConfigError(f"'{text}' is of type {type(function).__name__}; a function is wanted.")
    return function


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


def import_file(path: Path) -> ModuleType:
    """Import a file under a name of its own, once, without touching ``sys.path``."""
    if not path.is_file():
        raise ConfigError(f"there is no file '{path}' in {Path.cwd()}.")
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    name = f"hookloop_profiler_file_{path.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise ConfigError(f"'{path}' is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and pickle look a module up by its name.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
