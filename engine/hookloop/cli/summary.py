"""What a run came to, as text: how it ended, its metrics, where the time went, what is on disk."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from hookloop.cli.output import facts, table, wrap

if TYPE_CHECKING:
    from hookloop.manager import Failure
    from hookloop.result import Result

MOST_TIMINGS = 8
ASIDE = ("lr/", "system/", "time/")  # what tells of the settings and of the machine, which may be a hundred names


def summarize(result: Result, again: str = "") -> str:
    """Return the summary of *result*; *again* is the command line that does the same once more."""
    parts = [
        "\n".join(wrap(headline(result))),
        metrics_table(result.metrics, result.history),
        timings_table(result.plugin_seconds, result.elapsed_seconds),
        failures_text(result.failures),
        places(result, again),
    ]
    return "\n\n".join(part for part in parts if part)


def headline(result: Result) -> str:
    """Return how the run ended, why, and how far it came."""
    ending = f"{result.outcome} ({result.stop_reason})" if result.stop_reason else result.outcome
    counted = [(result.epoch, "epoch"), (result.step, "step"), (result.samples, "sample")]
    done = ", ".join(counting(number, noun) for number, noun in counted if number)
    took = f"in {duration(result.elapsed_seconds)}"
    rate = result.samples / result.elapsed_seconds if result.samples and result.elapsed_seconds > 0 else 0.0
    speed = f" ({rate:.3g} samples/s)" if 0 < rate < 1000 else f" ({rate:.0f} samples/s)" if rate else ""
    return f"{ending}: {done} {took}{speed}" if done else f"{ending} {took}"


def metrics_table(metrics: Mapping[str, float], history: Sequence[Mapping[str, float]]) -> str:
    """Return the newest value of each metric, and for those of the validation the lowest and the highest as well.

    Learning rates, times and what was seen of the machine are in `metrics.jsonl` for whoever looks for them.
    """
    names = sorted(name for name in metrics if not name.startswith(ASIDE))
    if not names:
        return ""
    extremes = any(lowest_and_highest(name, history) for name in names)
    rows = []
    for name in names:
        cells = lowest_and_highest(name, history) or ("", "")
        rows.append((name, number(metrics[name]), *(cells if extremes else ())))
    header = ("metric", "newest", *(("lowest", "highest") if extremes else ()))
    return table(header, rows)


def lowest_and_highest(name: str, history: Sequence[Mapping[str, float]]) -> tuple[str, str] | None:
    """Return both with the step they were seen at; None for what is no validation metric or was measured once."""
    seen = [(row[name], int(row["step"])) for row in history if name in row and not math.isnan(row[name])]
    if not name.startswith("val/") or len(seen) < 2:
        return None
    low, high = min(seen, key=lambda pair: pair[0]), max(seen, key=lambda pair: pair[0])
    return f"{number(low[0])} at step {low[1]}", f"{number(high[0])} at step {high[1]}"


def timings_table(seconds: Mapping[str, Mapping[str, float]], elapsed_seconds: float) -> str:
    """Return the hooks of plugins that took the most time, and all of it together."""
    rows = sorted(timings(seconds), key=lambda row: row[2], reverse=True)
    if not rows:
        return ""
    total = sum(row[2] for row in rows)
    shown = [(plugin, hook, duration(took), share(took, elapsed_seconds)) for plugin, hook, took in rows[:MOST_TIMINGS]]
    if len(rows) > MOST_TIMINGS:
        rest = sum(row[2] for row in rows[MOST_TIMINGS:])
        shown.append((f"{len(rows) - MOST_TIMINGS} others", "", duration(rest), share(rest, elapsed_seconds)))
    if len(rows) > 1:
        shown.append(("all plugins", "", duration(total), share(total, elapsed_seconds)))
    return table(("plugin", "hook", "time", "of the run"), shown)


def timings(seconds: Mapping[str, Mapping[str, float]]) -> Iterator[tuple[str, str, float]]:
    """Yield plugin, hook and seconds."""
    for plugin, hooks in seconds.items():
        for hook, took in hooks.items():
            yield plugin, hook, took


def failures_text(failures: Sequence[Failure]) -> str:
    """Return what went wrong in plugins that the run went on without."""
    lines = []
    for each in failures:
        consequence = "switched off" if each.disabled else f"failed {counting(each.count, 'time')}"
        lines.append(f"plugin '{each.plugin}' {consequence}: {each.hook} at step {each.step}: {each.error}")
    return "\n".join("\n  ".join(wrap(line, 78)) for line in lines)


def places(result: Result, again: str) -> str:
    """Return what is on disk."""
    return facts(
        [
            ("run directory", str(result.directory)),
            ("best checkpoint", str(result.best_checkpoint or "")),
            ("last checkpoint", str(result.last_checkpoint or "")),
            ("again", again),
        ]
    )


def counting(count: int, noun: str) -> str:
    """Return "1 step" or "2 steps"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def duration(seconds: float) -> str:
    """Return *seconds* in the two units that matter: "85 ms", "4.21 s", "2 min 5 s", "3 h 20 min"."""
    # Compared after rounding: nothing takes 1000 ms or 60 s.
    if seconds < 0.9995:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 59.95:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def share(seconds: float, elapsed_seconds: float) -> str:
    """Return *seconds* as a part of the run."""
    return f"{seconds / elapsed_seconds:.1%}" if elapsed_seconds > 0 else ""


def number(value: float) -> str:
    """Return *value* as a person reads it: six digits, without an exponent where it is not needed."""
    if value.is_integer() and abs(value) < 1e9:
        return str(int(value))
    return f"{value:.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.6g}"
