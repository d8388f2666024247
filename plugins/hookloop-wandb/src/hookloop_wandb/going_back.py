"""What earlier attempts at a run have logged, taken back to the checkpoint that the run goes on from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from hookloop_wandb.transaction_log import Logged, cut, logged


@dataclass
class Kept:
    """What stays of earlier attempts.

    ``steps`` have their row of metrics. ``again`` is what cannot be taken back, as it was sent to the server already:
    the steps and names of what comes a second time when those steps are trained again. ``count`` is the next number.
    """

    steps: set[int] = field(default_factory=set)
    again: set[tuple[int, str]] = field(default_factory=set)
    count: int = 0


def mark(step: int, names: Iterable[str]) -> tuple[int, str]:
    """Return what tells a row with *names* from the others of its *step*: metrics have an epoch, all else a name."""
    found = [name for name in names if name != "step" and not name.startswith("_")]
    return step, "epoch" if "epoch" in found else min(found, default="")


def go_back(folder: Path, run_id: str, rows: int) -> Kept:
    """Drop from the files of the run in *folder* what was logged after its first *rows* rows, and return what stays.

    A file that the server has, or may have parts of, stays as it is.
    """
    kept = Kept()
    for path in sorted(folder.glob(f"*run-*-{run_id}/run-{run_id}.wandb")):
        ours_alone = path.parent.name.startswith("offline-") and not path.with_name(f"{path.name}.synced").exists()
        for row in logged(path):
            if row.number >= rows and ours_alone:
                cut(path, row.offset)
                break
            keep(kept, row, rows)
    return kept


def keep(kept: Kept, row: Logged, rows: int) -> None:
    """Note in *kept* that *row* stays."""
    kept.count = max(kept.count, row.number + 1)
    if "step" not in row.values:
        return
    step = int(row.values["step"])
    if "epoch" in row.values:
        kept.steps.add(step)
    if row.number >= rows:
        kept.again.add(mark(step, row.values))
