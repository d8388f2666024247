"""Names code that is not installed as a plugin: ``path/to/file.py``, ``path/to/file.py:attr`` and ``module:attr``."""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from hookloop.names import kebab


@dataclass(frozen=True)
class Location:
    """A module or a ``.py`` file, the *container*, and a dotted attribute in it, or none for a file as a whole."""

    container: str
    attribute: str
    is_file: bool

    def __str__(self) -> str:
        return f"{self.container}:{self.attribute}" if self.attribute else self.container


def is_location(text: str) -> bool:
    """Tell a location from a plain name."""
    return ":" in text or text.endswith(".py")


def location_name(text: str) -> str:
    """Return the plugin name that the location *text* gets, after its attribute or else its file, found or not."""
    container, attribute = _split(text)
    return kebab(attribute.rpartition(".")[2] or Path(container).stem)


def parse_location(text: str, base: Path | None = None) -> Location:
    """Return the parts of *text*; a relative file starts from the directory *base*, or else from the current one.

    Raises ValueError, with a sentence that says what is wrong, for what is no location and for a missing file.
    """
    container, attribute = _split(text)
    is_file = container.endswith(".py")
    if container != text and not _is_dotted_name(attribute):
        raise ValueError(f"'{attribute}' after the colon of '{text}' is not a name.")
    if not is_file and not _is_dotted_name(container):
        raise ValueError(f"'{text}' is neither path/to/file.py, path/to/file.py:attr nor module:attr.")
    if is_file:
        container = str((base or Path()) / container)
        if not Path(container).is_file():
            raise ValueError(f"there is no file '{container}'.")
    return Location(container, attribute, is_file)


def import_location(location: Location) -> object:
    """Import what *location* names: the module of a whole file, or an attribute. Raises whatever the import raises."""
    module = import_file(Path(location.container)) if location.is_file else import_module(location.container)
    path = location.attribute.split(".") if location.attribute else []
    return functools.reduce(getattr, path, module)


def import_module(name: str) -> ModuleType:
    """Import the module *name*; where there is none, say how a file is named instead."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name == name.partition(".")[0]:
            error.add_note("A file of your own is named by its path: path/to/file.py:attr")
        raise


def import_file(path: Path) -> ModuleType:
    """Import the file *path* once, under a name of its own, with ``sys.path`` left as it is.

    The module is in ``sys.modules``, where pickle and dataclasses look for it; the name is derived from the resolved
    path, so it is the same in every process.
    """
    path = path.resolve()
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:12]
    stem = re.sub(r"\W", "_", path.stem)
    name = f"hookloop_file_{stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"'{path}' is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _split(text: str) -> tuple[str, str]:
    # A whole file first: the colon of a drive letter is no separator.
    container, _, attribute = (text, "", "") if text.endswith(".py") else text.rpartition(":")
    return container, attribute


def _is_dotted_name(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))
