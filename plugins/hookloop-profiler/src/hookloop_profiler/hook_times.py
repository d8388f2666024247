"""The plugin ``hook-times``: what each plugin takes in each hook, and a warning that names who takes too much."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from hookloop import PluginConfig, hookimpl
from hookloop_profiler.budget import Spent, culprits, since, spent_so_far, table
from hookloop_profiler.instances import directory_of
from hookloop_profiler.spans import Spans
from hookloop_profiler.trace import Trace

if TYPE_CHECKING:
    from hookloop import Run

log = logging.getLogger("hookloop.profiler")

JUDGED_SECONDS = 1.0
SHOWN_ROWS = 12


class HookTimes:
    """Reads the counters that the engine keeps anyway; only the steps of the trace are slower for it."""

    role = "observer"

    class Config(PluginConfig):
        """Options of ``[plugins.hook-times]``."""

        budget_percent: float = Field(10.0, gt=0, le=100)
        """Which share of the time of training a plugin may take in its hooks before a warning names it and its worst
        hook, once. It is judged at logging boundaries, over a second or more; a shorter training as a whole. Hooks that
        replace a part of a step do not count."""

        trace_after_steps: int = Field(10, ge=0)
        """How many steps to let pass before the trace."""

        trace_steps: int = Field(5, ge=0)
        """How many steps to trace, every call of every plugin's hooks as a span; 0 for no trace."""

        print: bool = True
        """Show the most expensive rows of the table at the end of the run, besides writing all of it."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.reset()

    def reset(self) -> None:
        """Begin with nothing read."""
        self.before: dict[tuple[str, str], Spent] = {}
        self.since_seconds: float | None = None
        self.is_judged = False
        self.warned: set[str] = set()
        self.steps = 0
        self.trace: Trace | None = None
        self.spans: Spans | None = None
        self.name = ""
        self.directory: Path | None = None

    @hookimpl
    def on_run_start(self, run: Run) -> None:
        """Look at each logging boundary."""
        self.reset()
        self.name = run.plugins.name_of(self)
        self.directory = directory_of(self, run)
        run.gauge(lambda: self.look(run, JUDGED_SECONDS))

    @hookimpl(trylast=True)
    def on_fit_start(self, run: Run) -> None:
        """Leave what the start took out of account."""
        self.before, self.since_seconds = spent_so_far(run.plugins.timings()), run.clock()
        self.trace_if_due(run)

    def look(self, run: Run, shortest_seconds: float) -> None:
        """Warn of a plugin that took too much since the last time, if that is long enough ago to judge by."""
        clock = run.clock()
        if self.since_seconds is None or clock - self.since_seconds < shortest_seconds:
            return
        now = spent_so_far(run.plugins.timings())
        spent = [each for each in since(self.before, now) if each.plugin.partition(":")[0] != self.name]
        for percent, worst in culprits(spent, clock - self.since_seconds, self.config.budget_percent):
            if worst.plugin not in self.warned:
                self.warned.add(worst.plugin)
                mean_ms = worst.seconds / max(worst.calls, 1) * 1e3
                log.warning(
                    "hook-times: plugin '%s' took %.0f %% of the time of training (budget_percent = %g), "
                    "most of it in %s: %.3f ms a call. '-p no:%s' switches it off.",
                    worst.plugin, percent, self.config.budget_percent, worst.hook, mean_ms, worst.plugin,
                )  # fmt: skip
        self.before, self.since_seconds, self.is_judged = now, clock, True

    @hookimpl(trylast=True)
    def on_step_end(self, run: Run) -> None:
        """Count a step; begin or end the trace."""
        self.steps += 1
        if self.spans is not None and self.steps == self.config.trace_after_steps + self.config.trace_steps:
            self.end_trace(run)
        elif self.steps == self.config.trace_after_steps:
            self.trace_if_due(run)

    def trace_if_due(self, run: Run) -> None:
        """Begin the trace when it is time."""
        if self.config.trace_steps and self.steps == self.config.trace_after_steps and self.trace is None:
            trace = self.trace = Trace()
            self.spans = Spans(self, lambda name: trace.span(name, "engine"), lambda name: trace.span(name, "plugin"))
            self.spans.attach(run)

    def end_trace(self, run: Run) -> None:
        """End the trace and write it."""
        spans, self.spans = self.spans, None
        if spans is not None and self.trace is not None and self.directory is not None:
            spans.detach(run)
            self.directory.mkdir(parents=True, exist_ok=True)
            self.trace.write(self.directory / f"rank{run.rank}.trace.json")

    @hookimpl(tryfirst=True)
    def on_fit_end(self, run: Run) -> None:
        """Judge a training that was too short to be judged before, without what others do to end it.

        A trace that was not complete is written as far as it came.
        """
        self.look(run, JUDGED_SECONDS if self.is_judged else 0.0)
        self.since_seconds = None
        self.end_trace(run)

    @hookimpl
    def on_run_end(self, run: Run) -> None:
        """Write the table, and show the top of it."""
        if self.directory is None:  # another plugin failed before this one had begun
            return
        spent = sorted(spent_so_far(run.plugins.timings()).values(), key=lambda each: each.seconds, reverse=True)
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / f"rank{run.rank}.txt"
        path.write_text(table(spent), encoding="utf-8")
        rows = [each._asdict() for each in spent]
        (self.directory / f"rank{run.rank}.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
        if self.config.print and run.rank == 0:
            more = f"{len(spent) - SHOWN_ROWS} more in {path}\n" if len(spent) > SHOWN_ROWS else ""
            log.info("hook-times: time in the hooks of plugins\n%s%s", table(spent[:SHOWN_ROWS]), more)
