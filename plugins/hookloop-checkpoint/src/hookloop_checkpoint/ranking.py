"""Which snapshots are the best by a metric. Pure values: a ranking is never changed, a better one takes its place."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

Mode = Literal["min", "max"]


@dataclass(frozen=True)
class Candidate:
    """A snapshot, by the name of its directory, with the value that was measured on its weights."""

    name: str
    value: float
    step: int


@dataclass(frozen=True)
class Ranking:
    """The best *size* snapshots, the best first.

    A later one has to be strictly better to stand before an earlier one, and better than *better_than* to stand here
    at all. What is not finite never does: every comparison with a NaN is false, and nothing would ever beat infinity.
    """

    mode: Mode
    size: int = 1
    better_than: float | None = None
    entries: tuple[Candidate, ...] = ()

    @property
    def best(self) -> Candidate | None:
        """The best, or None when nothing was good enough."""
        return self.entries[0] if self.entries else None

    @property
    def names(self) -> frozenset[str]:
        """Their names."""
        return frozenset(each.name for each in self.entries)

    def beats(self, value: float, other: float) -> bool:
        """Return whether *value* is strictly better than *other*."""
        return value < other if self.mode == "min" else value > other

    def admits(self, value: float) -> bool:
        """Return whether a snapshot with *value* would stand here."""
        if not math.isfinite(value) or (self.better_than is not None and not self.beats(value, self.better_than)):
            return False
        return len(self.entries) < self.size or self.beats(value, self.entries[-1].value)

    def without(self, name: str) -> Ranking:
        """Return the ranking without the snapshot *name*."""
        return replace(self, entries=tuple(each for each in self.entries if each.name != name))

    def with_candidate(self, candidate: Candidate) -> Ranking:
        """Return the ranking that *candidate* has taken part in; one of the same name is what it replaces."""
        if candidate in self.entries:
            return self
        others = self.without(candidate.name)
        if not others.admits(candidate.value):
            return others
        ahead = [each for each in others.entries if not self.beats(candidate.value, each.value)]
        behind = others.entries[len(ahead) :]
        return replace(self, entries=(*ahead, candidate, *behind)[: self.size])

    def with_candidates(self, candidates: Iterable[Candidate]) -> Ranking:
        """Return the ranking that each of *candidates* has taken part in, the earlier steps first."""
        ranking = self
        for each in sorted(candidates, key=lambda each: each.step):
            ranking = ranking.with_candidate(each)
        return ranking

    def as_state(self) -> list[dict[str, Any]]:
        """Return the entries as plain values."""
        return [vars(each).copy() for each in self.entries]

    def with_state(self, state: Sequence[Mapping[str, Any]]) -> Ranking:
        """Return the ranking with the entries of *state* among its own."""
        return self.with_candidates(Candidate(**each) for each in state)
