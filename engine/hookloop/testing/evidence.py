"""What a plugin that only observes may not change, taken from a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hookloop.testing.comparison import first_difference

if TYPE_CHECKING:
    from hookloop.result import Result
    from hookloop.testing.probes import Tap

ABOUT_A_ROW = ("epoch", "step", "time")
RANDOM_NUMBERS = "random numbers"


def evidence(results: Mapping[str, Result], tap: Tap) -> dict[str, Any]:
    """Return all that *results*, by command, and *tap* hold of the numbers of a run."""
    commands = {
        command: {
            RANDOM_NUMBERS: result.state["rng"],
            "metrics": series(result.history),
            "outcome": result.outcome,
            "counters": {name: value for name, value in result.state["counters"].items() if name != "elapsed_seconds"},
            "optimizers": result.state["optimizers"],
            "model": result.state["model"],
        }
        for command, result in results.items()
    }
    return {**commands, "losses": tap.losses, "predictions": tap.predictions}


def series(history: Sequence[Mapping[str, float]]) -> dict[str, list[tuple[float, ...]]]:
    """Return the values of each metric, each with its epoch and step: rows may be more, if they hold other metrics."""
    found: dict[str, list[tuple[float, ...]]] = {}
    for row in history:
        for name in row.keys() - set(ABOUT_A_ROW):
            found.setdefault(name, []).append((row["epoch"], row["step"], row[name]))
    return found


def difference_by_observer(without: Mapping[str, Any], observed: Mapping[str, Any]) -> str | None:
    """Return the first difference between the evidence of two runs, or None.

    What an observer adds is no difference: metrics of its own, and a random stream of a library that it imported.
    """
    trimmed = {command: trim(observed[command], part) for command, part in without.items()}
    return first_difference(without, trimmed)


def trim(observed: Any, without: Any) -> Any:
    """Return *observed* with no other metrics and random streams than *without* has."""
    if not isinstance(without, Mapping):
        return observed
    return {
        name: keep(value, without[name]) if name in ("metrics", RANDOM_NUMBERS) else value
        for name, value in observed.items()
    }


def keep(table: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return *table* with only those of *names* that it has."""
    return {name: table[name] for name in names if name in table}
