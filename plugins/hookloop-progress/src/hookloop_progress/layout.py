"""A view as the rows of a live display, cut to the width of the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from hookloop_progress import text
from hookloop_progress.view import View

BAR_COLUMNS = range(5, 41)

# The two parts of a bar differ in shape as well as in colour, for terminals and people without colours.
BLOCKS = ("━", "─")
ASCII_BLOCKS = ("#", "-")


class Part(NamedTuple):
    """A piece of a row, with the name of its style."""

    text: str
    style: str = ""


Row = list[Part]


@dataclass(frozen=True, slots=True)
class Bar:
    """What one row counts; ``tail`` stands behind the bar."""

    label: str
    done: int
    total: int | None
    tail: str = ""


def rows(view: View, columns: int, *, ascii_only: bool = False) -> list[Row]:
    """Return the display of *view* in *columns*: a row for each bar, and one for the metrics."""
    bars = bars_of(view)
    label_columns = max(len(bar.label) for bar in bars)
    count_columns = max(len(text.of(bar.done, bar.total)) for bar in bars)
    # What stands beside a bar: two columns between neighbours, and "100%".
    beside = label_columns + count_columns + max(len(bar.tail) for bar in bars) + 4 + 4 * 2
    bar_columns = min(columns - beside, BAR_COLUMNS[-1])
    blocks = ASCII_BLOCKS if ascii_only else BLOCKS
    lines = [row(bar, label_columns, count_columns, bar_columns, blocks, style_of(view)) for bar in bars]
    metrics = "  ".join(text.that_fit(text.metric_words(view.metrics), columns, 2))
    return [cut(line, columns) for line in lines] + ([[Part(metrics)]] if metrics else [])


def bars_of(view: View) -> list[Bar]:
    """Return the bars that *view* needs: the epoch, all steps, and an evaluation while it runs."""
    tail = tail_of(view)
    if not view.fitting:
        return [Bar(view.stage, view.evaluated, view.evaluations, tail)]
    bars = []
    if view.epochs != 1 and view.epoch_number:
        bars.append(Bar(f"epoch {text.of(view.epoch_number, view.epochs)}", view.batch, view.batches))
    bars.append(Bar("steps", view.step, view.steps, tail))
    if view.stage != "train":
        bars.append(Bar(view.stage, view.evaluated, view.evaluations))
    return bars


def tail_of(view: View) -> str:
    """Return rate and time: what is left while the run goes on, what it took when it has ended."""
    words = [] if view.per_second is None else [f"{text.rate(view.per_second)} it/s"]
    if view.outcome is not None or view.eta_seconds is None:
        words.append(f"in {text.duration(view.elapsed_seconds)}")
    else:
        words.append(f"eta {text.duration(view.eta_seconds)}")
    return "  ".join(words)


def style_of(view: View) -> str:
    """Return the style of the filled part of a bar."""
    if view.outcome is None:
        return "cyan"
    return "green" if view.outcome in ("completed", "stopped") else "red"


def row(bar: Bar, label_columns: int, count_columns: int, bar_columns: int, blocks: tuple[str, str], style: str) -> Row:
    """Return one row. Without a total there is no share to draw; where there is no room for a bar, there is none."""
    parts = [Part(bar.label.ljust(label_columns))]
    if bar_columns in BAR_COLUMNS:
        filled = 0 if not bar.total else min(bar_columns, bar_columns * bar.done // bar.total)
        rest = blocks[1] if bar.total else " "
        parts += [Part("  "), Part(blocks[0] * filled, style), Part(rest * (bar_columns - filled), "dim")]
    # Rounded down, so that 100% is said only of what is complete.
    share = f"{100 * bar.done // bar.total}%" if bar.total else ""
    parts.append(Part(f"  {share:>4}  {text.of(bar.done, bar.total):>{count_columns}}  {bar.tail}".rstrip()))
    return parts


def cut(parts: Row, columns: int) -> Row:
    """Return the first *columns* columns of a row."""
    kept = []
    for part in parts:
        kept.append(Part(part.text[:columns], part.style))
        columns -= len(kept[-1].text)
    return kept
