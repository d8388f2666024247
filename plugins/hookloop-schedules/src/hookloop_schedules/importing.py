"""Finds the user's code that a text such as ``path/to/file.py:attr`` or ``module:attr`` names."""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any


def is_location(text: object) -> bool:
    """Tell a location from a name."""
    return isinstance(text, str) and ":" in text


def import_location(text: str) -> Any:
    """Return what *text* names; a relative path starts from the current directory.

    Raises ValueError for what is not there and for what cannot be called; what an import raises goes through.
    """
    container, _, attribute = text.rpartition(":")
    module = import_file(Path(container)) if container.endswith(".py") else import_named(container)
    try:
        found = functools.reduce(getattr, attribute.split("."), module)
    except AttributeError:
        raise ValueError(f"'{text}': there is no '{attribute}' in {container}") from None
    if not callable(found):
        raise ValueError(f"'{text}' is of type {type(found).__name__}, and a function is wanted")
    return found


def import_named(name: str) -> ModuleType:
    """Import a module by its dotted name."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.partition(".")[0]:
            raise
        raise ValueError(f"there is no module '{name}'; a file is named by its path: file.py:function") from None


def import_file(path: Path) -> ModuleType:
    """Import a file under a name of its own, once, without touching ``sys.path``."""
    if not path.is_file():
        raise ValueError(f"there is no file '{path}' in {Path.cwd()}")
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    name = f"hookloop_schedules_file_{path.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise ValueError(f"'{path}' is not a Python file")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and pickle look a module up by its name.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
