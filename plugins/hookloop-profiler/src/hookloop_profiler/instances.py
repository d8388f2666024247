"""Who is who among the plugins of a run, and helpers that take part in it for a while."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from hookloop import Run


def loaded(run: Run) -> Iterable[Any]:
    """Return the plugins of *run*, each with its ``instance`` name and the ``plugin`` itself."""
    return cast("Iterable[Any]", run.plugins)


def directory_of(plugin: object, run: Run) -> Path:
    """Return where *plugin* may write: a directory of its instance's own."""
    return Path(run.directory) / "profile" / run.plugins.name_of(plugin)


def invite(host: object, guest: object, run: Run) -> str:
    """Let *guest* take part in the hooks of *run*, in the name of the plugin *host*; return what `dismiss` needs.

    A hook that is needed for a few steps then costs nothing in all others. To change who takes part costs some
    milliseconds, as the hooks of all plugins are looked up anew: it is for the beginning and the end, and not for each
    step.
    """
    own = next(each for each in loaded(run) if each.plugin is host)
    instance = f"{own.instance}:{type(guest).__name__.lower()}"
    cast("Any", run.plugins).register(replace(own, instance=instance, plugin=guest, options=None))
    return instance


def dismiss(instance: str, run: Run) -> None:
    """Take a guest out again, if it is there."""
    if instance in run.plugins:
        run.plugins.unregister(instance)
