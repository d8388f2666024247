"""What the hooks of each plugin took, and who took too much."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple


class Spent(NamedTuple):
    """What one plugin took in one hook."""

    plugin: str
    hook: str
    calls: int
    seconds: float


def spent_so_far(timings: Iterable[Any]) -> dict[tuple[str, str], Spent]:
    """Return what the engine's counters hold now."""
    return {(each.plugin, each.hook): Spent(each.plugin, each.hook, each.calls, each.seconds) for each in timings}


def since(before: Mapping[tuple[str, str], Spent], now: Mapping[tuple[str, str], Spent]) -> list[Spent]:
    """Return what was spent between two readings."""
    nothing = Spent("", "", 0, 0.0)
    return [
        Spent(*key, each.calls - before.get(key, nothing).calls, each.seconds - before.get(key, nothing).seconds)
        for key, each in now.items()
    ]


def culprits(spent: Iterable[Spent], wall_seconds: float, budget_percent: float) -> list[tuple[float, Spent]]:
    """Return the plugins that took more than their share of *wall_seconds*: their percentage, and their worst hook.

    Hooks that replace a part of the training, `run_…`, are that part, and no cost beside it.
    """
    by_plugin: dict[str, list[Spent]] = {}
    for each in spent:
        if not each.hook.startswith("run_"):
            by_plugin.setdefault(each.plugin, []).append(each)
    found = []
    for hooks in by_plugin.values():
        percent = 100 * sum(each.seconds for each in hooks) / wall_seconds if wall_seconds > 0 else 0.0
        if percent > budget_percent:
            found.append((percent, max(hooks, key=lambda each: each.seconds)))
    return found


def table(spent: Iterable[Spent]) -> str:
    """Return a row for each plugin and hook, in the order given."""
    rows = list(spent)
    width = max((len(each.plugin) for each in rows), default=0)
    hooks = max((len(each.hook) for each in rows), default=0)
    lines = [f"{'plugin':{max(width, 6)}}  {'hook':{max(hooks, 4)}}  {'calls':>9}  {'total ms':>10}  {'µs a call':>10}"]
    for each in rows:
        names = f"{each.plugin:{max(width, 6)}}  {each.hook:{max(hooks, 4)}}"
        mean_us = each.seconds / each.calls * 1e6 if each.calls else 0.0
        lines.append(f"{names}  {each.calls:9d}  {each.seconds * 1e3:10.3f}  {mean_us:10.2f}")
    return "\n".join(lines) + "\n"
