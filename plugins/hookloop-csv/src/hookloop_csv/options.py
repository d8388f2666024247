"""What the options of both plugins have in common."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any, cast

from pydantic import AfterValidator

from hookloop import ConfigError

if TYPE_CHECKING:
    from hookloop import Run


def check_file(text: str) -> str:
    """Return *text* if it names a file inside of a directory; elsewhere a new run would replace another run's file."""
    path = PurePath(text)
    if not path.name or path.is_absolute() or ".." in path.parts:
        raise ValueError(f"'{text}' must name a file inside of the run directory, such as 'tables/epochs.csv'")
    return text


def check_separator(text: str) -> str:
    """Return *text* if values can be told apart by it."""
    if len(text) != 1 or text in '"\r\n':
        raise ValueError(f"{text!r} must be one character, and neither a quotation mark nor the end of a line")
    return text


File = Annotated[str, AfterValidator(check_file)]
Separator = Annotated[str, AfterValidator(check_separator)]


def check_alone(plugin: Any, run: Run) -> None:
    """Raise ConfigError when another instance of the class of *plugin* writes the same file."""
    for other in cast("Iterable[Any]", run.plugins):
        same = other.plugin is not plugin and isinstance(other.plugin, type(plugin))
        if same and Path(other.plugin.config.file) == Path(plugin.config.file):
            raise ConfigError(
                f"two plugins write {plugin.config.file}: give [plugins.{other.instance}] a 'file' of its own."
            )
