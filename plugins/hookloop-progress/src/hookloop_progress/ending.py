"""What a run came to, as text: how it ended, its metrics, the time of its plugins, and where things are."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hookloop_progress.text import duration, of, rate
from hookloop_progress.view import ASIDE, View

if TYPE_CHECKING:
    from hookloop import Run

MOST_METRICS = 20
MOST_PLUGINS = 5
MOST_FILES = 12

Row = Sequence[str]


def headline(view: View) -> str:
    """Return how the run ended, why, and how far it came."""
    ending = f"{view.outcome} ({view.stop_reason})" if view.stop_reason else view.outcome
    done = [f"{of(view.step, view.steps)} steps", f"{of(view.epoch, view.epochs)} epochs"] if view.fitting else []
    if not view.fitting and view.stage:
        done.append(f"{view.stage} of {of(view.evaluated, view.evaluations)} batches")
    seconds = view.elapsed_seconds
    took = duration(seconds) if seconds >= 60 else f"{seconds:.2f} s"
    speed = "" if view.per_second is None else f", {rate(view.per_second)} it/s"
    return f"{ending}: {', '.join(done)} in {took}{speed}" if done else f"{ending} in {took}"


def table_of(run: Run, view: View, names: Sequence[str] | None, columns: int) -> str:
    """Return the tables of *run*, no line wider than *columns*, but for paths that are; "" when there is nothing."""
    parts = (
        metrics_table(view.metrics, run.history, names, columns),
        plugins_table(seconds_by_plugin(run), view.elapsed_seconds, columns),
        places(run.directory, run.best_checkpoint, run.last_checkpoint, columns),
    )
    return "\n\n".join(part for part in parts if part)


def metrics_table(
    metrics: Mapping[str, float], history: Sequence[Mapping[str, float]], names: Sequence[str] | None, columns: int
) -> str:
    """Return the last value of each metric, and of those of the validation the lowest and the highest.

    Which of the two is the best, nobody has said. *names* are those that were asked for.
    """
    shown = [name for name in metrics if names is not None or not name.startswith((*ASIDE, "lr/"))]
    if not shown:
        return ""
    rows = [(name, f"{metrics[name]:.4g}", *extremes(name, history)) for name in shown[:MOST_METRICS]]
    if len(shown) > MOST_METRICS:
        rows.append((f"{len(shown) - MOST_METRICS} others", "", "", ""))
    return aligned([("metric", "last", "lowest", "highest"), *rows], columns)


def extremes(name: str, history: Sequence[Mapping[str, float]]) -> tuple[str, str]:
    """Return the lowest and the highest value of *name* and when it was, if it is one of several validations."""
    seen = [row for row in history if name in row and not math.isnan(row[name])]
    if not name.startswith("val/") or len(seen) < 2:
        return "", ""
    low, high = min(seen, key=lambda row: row[name]), max(seen, key=lambda row: row[name])
    return seen_at(name, low), seen_at(name, high)


def seen_at(name: str, row: Mapping[str, float]) -> str:
    """Return a value with its epoch, or the step where that is all there is."""
    when = f"epoch {row['epoch']:.0f}" if row["epoch"] else f"step {row['step']:.0f}"
    return f"{row[name]:.4g} at {when}"


def plugins_table(seconds: Mapping[str, float], elapsed_seconds: float, columns: int) -> str:
    """Return the plugins that took the most time."""
    slowest = sorted(seconds.items(), key=lambda pair: pair[1], reverse=True)
    rows = [(name, short(took), share(took, elapsed_seconds)) for name, took in slowest[:MOST_PLUGINS]]
    rest = sum(took for _, took in slowest[MOST_PLUGINS:])
    if rest:
        rows.append((f"{len(slowest) - MOST_PLUGINS} others", short(rest), share(rest, elapsed_seconds)))
    return aligned([("plugin", "time", "of the run"), *rows], columns) if rows else ""


def seconds_by_plugin(run: Run) -> dict[str, float]:
    """Return how long each plugin took in all."""
    table: dict[str, float] = {}
    for timing in run.plugins.timings():
        table[timing.plugin] = table.get(timing.plugin, 0.0) + timing.seconds
    return table


def places(directory: Path, best: Path | None, last: Path | None, columns: int) -> str:
    """Return what is on disk."""
    found = sorted(each.name + "/" * each.is_dir() for each in directory.iterdir() if not each.name.startswith("."))
    files = ", ".join(found[:MOST_FILES]) + (", …" if len(found) > MOST_FILES else "")
    given = {"directory": str(directory), "best": within(best, directory), "last": within(last, directory)}
    facts = {**given, "files": files}
    lines = [wrapped(f"{name:<9}  {value}", columns, indent=11) for name, value in facts.items() if value]
    return "\n".join(lines)


def within(checkpoint: Path | None, directory: Path) -> str:
    """Return the path of a checkpoint, from the run's directory if it lies there."""
    if checkpoint is None:
        return ""
    return str(checkpoint.relative_to(directory) if checkpoint.is_relative_to(directory) else checkpoint)


def aligned(rows: Iterable[Row], columns: int) -> str:
    """Return *rows* one below the other; where they are too wide, it is the first cell that is cut."""
    rows = list(rows)
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    widths[0] = max(6, min(widths[0], columns - sum(widths[1:]) - 2 * (len(widths) - 1)))
    lines = []
    for first, *others in rows:
        first = first if len(first) <= widths[0] else first[: widths[0] - 1] + "…"
        cells = (cell.ljust(width) for cell, width in zip((first, *others), widths, strict=True))
        lines.append("  ".join(cells)[:columns].rstrip())
    return "\n".join(lines)


def wrapped(line: str, columns: int, indent: int = 2) -> str:
    """Return *line* in lines of *columns*; a word that is longer, such as a path, is left whole."""
    return textwrap.fill(
        line, columns, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def short(seconds: float) -> str:
    """Return *seconds* with three digits."""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def share(seconds: float, elapsed_seconds: float) -> str:
    """Return *seconds* as a part of the run."""
    return f"{seconds / elapsed_seconds:.1%}" if elapsed_seconds > 0 else ""
