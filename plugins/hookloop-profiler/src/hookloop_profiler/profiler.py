"""The plugin ``profiler``: torch.profiler on a few steps, with plugins and hooks in the trace."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hookloop import hookimpl
from hookloop_profiler.cycle import busy, start_cycle, write_files
from hookloop_profiler.instances import directory_of, loaded
from hookloop_profiler.profiler_options import ProfilerConfig
from hookloop_profiler.spans import Spans

if TYPE_CHECKING:
    from torch.profiler import profile

    from hookloop import Run

log = logging.getLogger("hookloop.profiler")


class Profiler:
    """Waits, warms up, records and writes, as often as it was told to; then it is as if it were not there.

    Between two profiles there is no profiler at all. Whatever goes wrong with one is a warning, and no more are made.
    """

    role = "observer"
    Config = ProfilerConfig

    def __init__(self, config: ProfilerConfig) -> None:
        self.config = config
        self.reset()

    def reset(self) -> None:
        """Begin with nothing counted."""
        self.count = 0
        self.begun = self.written = 0
        self.due: int | None = None  # after how many steps the next profile begins
        self.profile: profile | None = None
        self.spans: Spans | None = None
        self.directory = Path()
        self.resting = False

    @hookimpl
    def on_run_start(self, run: Run) -> None:
        """Find out whether this rank is one of those that are profiled."""
        self.reset()
        self.resting = self.config.ranks != "all" and run.rank not in self.config.ranks
        self.due = None if self.resting else self.config.wait
        self.directory = directory_of(self, run)

    @hookimpl
    def on_fit_start(self, run: Run) -> None:
        """Begin at once where there is nothing to wait for."""
        self.guarded(self.consider, run)

    @hookimpl
    def on_validation_start(self, run: Run) -> None:
        """Begin at once where there is nothing to wait for, and validation is all that there is."""
        if not run.optimizers:
            self.guarded(self.consider, run)

    @hookimpl(trylast=True)
    def on_step_end(self, run: Run) -> None:
        """Count a step."""
        self.count += 1
        if self.profile is not None or self.count == self.due:
            self.guarded(self.advance, run)

    @hookimpl(trylast=True)
    def on_validation_batch_end(self, run: Run) -> None:
        """Count a batch where that is asked for, or where validation is all that there is."""
        if self.config.validation or not run.optimizers:
            self.on_step_end(run)

    on_test_start = on_predict_start = on_validation_start
    on_test_batch_end = on_predict_batch_end = on_validation_batch_end

    @hookimpl
    def on_fit_end(self, run: Run) -> None:
        """Stop, however training has ended: what was recorded so far is written."""
        self.guarded(self.stop, run)

    @hookimpl
    def on_run_end(self, run: Run) -> None:
        """Stop what is still on, and say so when there is nothing to show."""
        self.guarded(self.stop, run)
        first = self.config.wait + self.config.warmup
        if not self.resting and not self.written and self.count <= first:
            log.info(
                "profiler: no profile was made: %d steps were run, and recording begins after %d", self.count, first
            )

    def guarded(self, do: Callable[[Run], None], run: Run) -> None:
        """Call *do*; an error is a warning, as a profile is worth no training."""
        if self.resting:
            return
        try:
            do(run)
        except Exception as error:
            log.warning("profiler: switched off after %s: %s", type(error).__name__, error)
            self.resting = True
            with suppress(Exception):
                self.stop(run)

    def advance(self, run: Run) -> None:
        """Go on by the step that was counted."""
        if self.profile is not None:
            written = self.written
            self.profile.step()
            if self.written > written:
                self.stop(run)
        self.consider(run)

    def consider(self, run: Run) -> None:
        """Begin a profile if it is time for one."""
        if self.profile is None and self.count == self.due:
            self.begin(run)

    def begin(self, run: Run) -> None:
        """Begin to warm up, unless another profiler is at work."""
        self.begun += 1
        one = self.config.wait + self.config.warmup + self.config.active
        self.due = self.begun * one + self.config.wait if self.begun < self.config.repeat else None
        other = self.other_at_work(run)
        if other is not None:
            log.warning(
                "profiler: '%s' leaves this profile out: %s is at work, and torch has but one profiler at a time",
                run.plugins.name_of(self), other,
            )  # fmt: skip
            return
        self.profile = start_cycle(self.config, lambda profiled: self.write(profiled, run))
        if self.config.spans:
            self.attach(run)

    def other_at_work(self, run: Run) -> str | None:
        """Return who is profiling: two that warm up at once end the process, and torch shows only one that records."""
        for each in loaded(run):
            if isinstance(each.plugin, Profiler) and each.plugin.profile is not None:
                return f"'{each.instance}'"
        return "another profiler" if busy() else None

    def attach(self, run: Run) -> None:
        """Have plugins and parts of a step as spans."""
        from torch.profiler import record_function

        self.spans = Spans(self, record_function, record_function)
        self.spans.attach(run)

    def write(self, profiled: profile, run: Run) -> None:
        """Write what was recorded; torch calls this in the middle of a step, so nothing may come out of it."""
        self.written += 1
        stem = self.directory / f"rank{run.rank}-{self.begun}-step{run.step}"
        try:
            problems = write_files(profiled, self.config, stem, device_name(run))
        except Exception as error:
            problems = [f"{type(error).__name__}: {error}"]
        for problem in problems:
            log.warning("profiler: %s", problem)
        if not problems:
            log.info("profiler: wrote %s", stem.parent)

    def stop(self, run: Run) -> None:
        """Stop the profile that is on, if there is one, and let go of all that it needs."""
        profiled, self.profile = self.profile, None
        spans, self.spans = self.spans, None
        try:
            if spans is not None:
                spans.phases.end_fetch()
            if profiled is not None:
                profiled.stop()
        finally:
            if spans is not None:
                spans.detach(run)


def device_name(run: Run) -> str:
    """Return the device as the memory timeline wants it; a run that failed early has none."""
    device: Any = getattr(run, "device", "cpu")
    return f"{device.type}:{device.index or 0}" if getattr(device, "type", "cpu") != "cpu" else "cpu"
