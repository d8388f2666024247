"""Goes back to the newest snapshot whose weights can be gone on with."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from hookloop import HookloopError, SnapshotError, snapshots

if TYPE_CHECKING:
    from hookloop import Run

log = logging.getLogger("hookloop.guards")


def roll_back(run: Run, bad_step: int) -> Path:
    """Put the newest snapshot that was taken before *bad_step* back, and return its path.

    One that is damaged, or whose weights are not finite themselves, is passed over. Raises HookloopError when none is
    left.
    """
    for path in candidates(run, bad_step):
        try:
            snapshots.roll_back(run, path)
        except SnapshotError as error:
            log.warning("not rolled back to %s: %s", path, error)
            continue
        if is_finite(run.model):
            return path
        log.warning("not rolled back to %s: its weights are not finite", path)
    raise HookloopError(
        f"there is no snapshot from before step {bad_step} to roll back to. Switch a plugin on that saves, such as "
        '[plugins.checkpoint] every = "100 steps", and let it keep more than there are between two logging boundaries.'
    )


def candidates(run: Run, bad_step: int) -> Iterator[Path]:
    """Yield the snapshots of the run from before *bad_step*, the newest first; at last that which it began from."""
    found = [each.path for each in snapshots.find(run.directory) if each.kind == "resumable" and each.step < bad_step]
    yield from found
    if run.resumed_from is not None and run.resumed_from not in found and run.resumed_from.exists():
        yield run.resumed_from


def is_finite(model: torch.nn.Module) -> bool:
    """Return whether every parameter of *model* is."""
    return all(bool(each.isfinite().all()) for each in model.parameters())
