"""Removing what killed processes have left behind."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

from hookloop.snapshots.durable import erase, rename
from hookloop.snapshots.owners import parse_hidden

log = logging.getLogger("hookloop")


def clean(directory: Path) -> None:
    """Remove from *directory*, that of one instance, what killed processes were writing or removing.

    What belongs to a living process is left alone, as is every name that hookloop does not make. What cannot be removed
    is logged as a warning.
    """
    restore_replaced(directory)
    for path, _, _ in leftovers(directory):
        erase(path)


def restore_replaced(directory: Path) -> None:
    """Give a snapshot its name back that was about to be replaced when the process was killed."""
    for path, purpose, name in leftovers(directory):
        if purpose == "old" and not os.path.lexists(directory / name):
            try:
                rename(path, directory / name)
            except OSError as error:
                log.warning("the snapshot %s cannot be given its name %s back: %s", path, name, error)


def leftovers(directory: Path) -> Iterator[tuple[Path, str, str]]:
    """Yield path, purpose and visible name of each hidden directory whose process is gone."""
    for path in sorted(directory.iterdir()) if directory.is_dir() else ():
        parsed = parse_hidden(path.name)
        if parsed is None:
            continue
        purpose, name, owner = parsed
        if owner is None or owner.is_gone():
            yield path, purpose, name
