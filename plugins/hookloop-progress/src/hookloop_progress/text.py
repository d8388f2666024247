"""A view as text: the plain lines, and the words that bars share with them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from hookloop_progress.view import View

LINE_COLUMNS = 160


def duration(seconds: float) -> str:
    """Return *seconds*, rounded down, as ``04:05``, ``2:04:05`` or ``3d02:04:05``."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days}d{hour:02}:{minute:02}:{second:02}"
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute:02}:{second:02}"


def rate(per_second: float) -> str:
    """Return a rate with three significant digits, and no exponent for a large one."""
    return f"{per_second:.0f}" if per_second >= 100 else f"{per_second:.3g}"


def of(done: int, total: int | None) -> str:
    """Return ``3/12``, or ``3`` when the total is unknown."""
    return f"{done}" if total is None else f"{done}/{total}"


def metric_words(metrics: Mapping[str, float]) -> list[str]:
    """Return ``name=value`` of each metric, with four significant digits and nothing that would split a word."""
    return [f"{'_'.join(name.split()).replace('=', '_')}={value:.4g}" for name, value in metrics.items()]


def that_fit(words: Iterable[str], columns: int, gap: int) -> list[str]:
    """Return the first of *words* that fit into *columns* with *gap* columns between them: whole words only."""
    taken: list[str] = []
    used = 0
    for word in words:
        used += len(word) + (gap if taken else 0)
        if used > columns:
            break
        taken.append(word)
    return taken


def progress_words(view: View) -> list[str]:
    """Return where the run stands, as ``key=value``."""
    words = [f"step={of(view.step, view.steps)}", f"epoch={of(view.epoch, view.epochs)}"] if view.fitting else []
    if view.stage not in ("train", ""):
        words.append(f"{view.stage}={of(view.evaluated, view.evaluations)}")
    return words


def line(view: View, columns: int = LINE_COLUMNS) -> str:
    """Return the log line of a run that goes on: words of the form ``key=value``, with as many metrics as fit."""
    head, tail = progress_words(view), []
    if view.per_second is not None:
        tail.append(f"it/s={rate(view.per_second)}")
    if view.eta_seconds is not None:
        tail.append(f"eta={duration(view.eta_seconds)}")
    return joined(head, view.metrics, tail, columns)


def summary(view: View, columns: int = LINE_COLUMNS) -> str:
    """Return the last line of a run: how it ended, after how many steps, in what time."""
    head = [f"outcome={view.outcome}", *progress_words(view)]
    tail = [] if view.per_second is None else [f"it/s={rate(view.per_second)}"]
    tail.append(f"seconds={view.elapsed_seconds:.2f}")
    if view.stop_reason is not None:
        tail.append(f"reason={json.dumps(view.stop_reason)}")
    return joined(head, view.metrics, tail, columns)


def joined(head: list[str], metrics: Mapping[str, float], tail: list[str], columns: int) -> str:
    """Return one line of words, the metrics in the middle cut to the width of a line."""
    room = columns - len(" ".join([*head, *tail])) - 1
    return " ".join([*head, *that_fit(metric_words(metrics), room, 1), *tail])
