"""Going back to earlier weights in the middle of a run."""

from __future__ import annotations

from pathlib import Path

from hookloop.run import Run
from hookloop.snapshots.reading import read
from hookloop.state import load_model, load_optimizers


def roll_back(run: Run, path: Path) -> None:
    """Put the model and the optimizers of the snapshot at *path* back; call it in `decide`, on all ranks.

    Counters, random numbers and the position in the data go on: from the same data the same would come of it again.
    Raises SnapshotError for a damaged snapshot, and ConfigError for one of another model.
    """
    state = read(path, map_location="cpu")
    # Whoever adapts what is loaded, or keeps weights beside the model, has to do so here as well.
    if run.plugins.hooks.on_checkpoint_load:
        run.plugins.hooks.on_checkpoint_load(run, state)
    load_model(run.model, state["model"], strict=True)
    load_optimizers(run.optimizers, state["optimizers"], strict=True)
