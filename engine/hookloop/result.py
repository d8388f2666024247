"""What is left of a run when it has ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hookloop.control import Outcome
from hookloop.manager import Failure
from hookloop.run import Run
from hookloop.state import run_state


@dataclass(frozen=True)
class Result:
    """How a run ended, and what it left.

    ``metrics`` holds the newest value of each metric, ``history`` the rows of ``metrics.jsonl``. ``state`` is the whole
    state at the end, as a checkpoint would hold it. ``plugin_seconds`` is plugin → hook → seconds.
    """

    outcome: Outcome
    stop_reason: str | None
    directory: Path
    metrics: Mapping[str, float]
    history: list[dict[str, float]]
    epoch: int
    step: int
    samples: int
    elapsed_seconds: float
    state: Mapping[str, Any]
    plugin_seconds: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    best_checkpoint: Path | None = None
    last_checkpoint: Path | None = None


def result_of(run: Run) -> Result:
    """Return how the run ended."""
    return Result(
        outcome=run.outcome or "completed",
        stop_reason=run.stop_reason,
        directory=run.directory,
        metrics=dict(run.metrics),
        history=run.history,
        epoch=run.epoch,
        step=run.step,
        samples=run.samples,
        elapsed_seconds=run.elapsed_seconds,
        state=run_state(run),
        plugin_seconds=seconds_by_plugin(run),
        failures=tuple(run.plugins.failures),
        best_checkpoint=run.best_checkpoint,
        last_checkpoint=run.last_checkpoint,
    )


def seconds_by_plugin(run: Run) -> dict[str, dict[str, float]]:
    """Return plugin → hook → seconds, the slowest first."""
    table: dict[str, dict[str, float]] = {}
    for timing in run.plugins.timings():
        table.setdefault(timing.plugin, {})[timing.hook] = timing.seconds
    return table
