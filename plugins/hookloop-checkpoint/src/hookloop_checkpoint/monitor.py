"""Follows one metric: which values belong to which weights, and which snapshots are the best by them."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from hookloop import snapshots
from hookloop_checkpoint.ranking import Candidate, Mode, Ranking

log = logging.getLogger("hookloop.checkpoint")

LOW_IS_GOOD = ("loss", "error", "perplexity")


def mode_of(metric: str) -> Mode | None:
    """Return ``"min"`` for a metric whose name says that low is good, and None for any other."""
    return "min" if metric.lower().endswith(LOW_IS_GOOD) else None


class Measured:
    """The metrics that were measured on the weights of one step: those of an earlier step say nothing about them."""

    def __init__(self) -> None:
        self._step = -1
        self._metrics: dict[str, float] = {}

    def add(self, step: int, metrics: Mapping[str, float]) -> None:
        """Take what was measured at *step*."""
        if step != self._step:
            self._step, self._metrics = step, {}
        self._metrics.update(metrics)

    def at(self, step: int) -> Mapping[str, float]:
        """Return what was measured at *step*."""
        return self._metrics if step == self._step else {}

    def state_dict(self) -> dict[str, Any]:
        """Return what was measured: a run that is resumed may save the very step that it goes on from."""
        return {"step": self._step, "metrics": dict(self._metrics)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from *state*."""
        self._step, self._metrics = state["step"], dict(state["metrics"])


class Monitor:
    """Ranks snapshots by *metric*.

    A snapshot is entered when it is ordered, so that it counts itself among the best in the state that it holds. Until
    it is durable, the states that others save do not count it; if it is not written after all, the ranking before it
    stands again.
    """

    def __init__(self, instance: str, metric: str, ranking: Ranking) -> None:
        self.instance = instance
        self.metric = metric
        self.ranking = ranking
        self._before: Ranking | None = None  # while a snapshot is being written
        self._entering = False
        self._awaited: int | None = None  # the step of a snapshot that is saved, and may yet be measured
        self._unmeasured = 0

    def admits(self, measured: Mapping[str, float]) -> bool:
        """Return whether a snapshot of weights for which *measured* holds would be among the best."""
        value = measured.get(self.metric)
        return value is not None and self.ranking.admits(value)

    @contextmanager
    def entered(self, name: str, measured: Mapping[str, float], step: int) -> Iterator[None]:
        """Rank the snapshot *name*, unless it cannot even be ordered. Without a value it has no place."""
        self._before, value = self.ranking, measured.get(self.metric)
        others = self.ranking.without(name)
        self.ranking = others if value is None else self.ranking.with_candidate(Candidate(name, value, step))
        self._entering = True
        try:
            yield
        except BaseException:
            self.settle(written=False)
            raise
        finally:
            self._entering = False

    def settle(self, *, written: bool) -> None:
        """Let the snapshot that was entered last count, or put back the ranking before it."""
        if self._before is not None and not written:
            self.ranking = self._before
        self._before = None

    def forget_missing(self, names: Container[str]) -> None:
        """Leave out the snapshots that are not among *names*: they were damaged, removed, or never came to be."""
        for each in self.ranking.entries:
            if each.name not in names:
                self.ranking = self.ranking.without(each.name)

    def recall(self, found: Iterable[snapshots.Snapshot], kind: snapshots.Kind) -> None:
        """Rank the snapshots that are on disk with those that are known already."""
        self.ranking = self.ranking.with_candidates(
            Candidate(each.path.name, each.metrics[self.metric], each.step)
            for each in found
            if each.kind == kind and self.metric in each.metrics
        )

    def is_due(self, step: int, measured: Mapping[str, float], known: Iterable[str], *, due: bool) -> bool:
        """Return whether a snapshot is to be saved that is *due*, or was saved at this very step without a value.

        A value may come after the snapshot of the same weights: that of an epoch's last step is due before the
        validation. *known* are the metrics to name in a warning when none came.
        """
        if self._awaited not in (None, step):
            self.give_up(known)
        if self.metric not in measured:
            self._awaited = step if due else self._awaited
            return due
        was_awaited, self._awaited = self._awaited is not None, None
        return due or was_awaited

    def give_up(self, known: Iterable[str]) -> None:
        """Warn of a snapshot that was never measured, the first time."""
        if self._awaited is None:
            return
        step, self._awaited = self._awaited, None
        self._unmeasured += 1
        if self._unmeasured > 1:
            return
        names = sorted(known)
        near = difflib.get_close_matches(self.metric, [each for each in names if each != self.metric], n=1)
        hint = f" Did you mean '{near[0]}'?" if near and self.metric not in names else ""
        log.warning(
            "%s: '%s' was not measured at step %d, so the snapshot of that step is not among the best: let 'every' be "
            "a multiple of how often it is measured.%s Metrics so far: %s",
            self.instance,
            self.metric,
            step,
            hint,
            ", ".join(names) or "none",
        )

    def summarize(self) -> None:
        """Say at the end how often the warning would have come."""
        if self._unmeasured > 1:
            log.warning("%s: '%s' was not measured for %d snapshots", self.instance, self.metric, self._unmeasured)

    def state_dict(self) -> dict[str, Any]:
        """Return the ranking and what it is by, and whether a value may follow: of a validation that was cut short."""
        durable = self.ranking if self._entering or self._before is None else self._before
        return {"metric": self.metric, "ranking": durable.as_state(), "awaited": self._awaited}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from *state*; a ranking by another metric says nothing here."""
        if state["metric"] == self.metric:
            self.ranking = self.ranking.with_state(state["ranking"])
            self._awaited = state["awaited"]
