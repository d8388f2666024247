"""The hooks of the plugin ``progress``: they count, and leave showing to a display."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Literal, Protocol, TextIO

from pydantic import Field

from hookloop import PluginConfig, hookimpl
from hookloop_progress.view import Tracker

if TYPE_CHECKING:
    from hookloop import Run


class Display(Protocol):
    """Where progress is shown. ``due`` is when `draw` is to be called next, by the run's clock."""

    due: float

    def open(self) -> None:
        """Begin."""

    def draw(self, now: float) -> None:
        """Show where the run stands."""

    def end_epoch(self, now: float) -> None:
        """Show where the run stands at the end of an epoch."""

    def close(self) -> None:
        """Show how the run ended, and leave nothing behind."""


class Progress:
    """Shows epoch, steps, evaluation, metrics, rate and time left, on rank 0; reads no tensor and changes nothing."""

    role = "observer"

    class Config(PluginConfig):
        """Options of ``[plugins.progress]``."""

        style: Literal["auto", "rich", "lines"] = "auto"
        """`auto` draws bars when stderr is a terminal and writes lines otherwise; `rich` draws bars in any case, unless
        `TERM` says that the terminal is dumb; `lines` never draws."""

        interval_seconds: float = Field(10.0, gt=0)
        """Seconds between two lines. The end of an epoch adds one. Bars do without it."""

        refresh_hz: float = Field(4.0, gt=0, le=10)
        """How often a second the bars are redrawn at most, up to 10. Lines do without it."""

        metrics: tuple[str, ...] | None = None
        """Names of the metrics to show, in this order; without it, all that fit."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.tracker = Tracker(config.metrics, 0.0)
        self.display: Display | None = None
        self.epoch_ended = False

    @hookimpl
    def on_ready(self, run: Run) -> None:
        """Open the display: from now on nothing but training happens, so nobody else needs the terminal."""
        if run.rank == 0 and sys.stderr is not None:
            self.tracker = Tracker(self.config.metrics, run.clock())
            self.display = open_display(self.config, self.tracker, run, sys.stderr, os.environ)

    @hookimpl
    def on_fit_start(self) -> None:
        """Show training, and not a single evaluation."""
        self.tracker.fitting = True

    @hookimpl
    def on_epoch_start(self, run: Run) -> None:
        """Show the new epoch."""
        self.tracker.start_epoch(run)

    @hookimpl
    def on_optimizer_step_skipped(self, run: Run) -> None:
        """Count on one more batch where the number of steps is what ends the run."""
        self.tracker.skip_step(run)

    @hookimpl
    def on_train_epoch_end(self, run: Run) -> None:
        """Show the epoch's bar as complete."""
        self.tracker.end_epoch(run)

    @hookimpl
    def on_epoch_end(self) -> None:
        """Let the boundary that follows, which has the epoch's metrics, end it on the display as well."""
        self.epoch_ended = True

    @hookimpl
    def report(self, run: Run) -> None:
        """Note the time of the step; show it if it is time to."""
        now = run.clock()
        self.tracker.steps.mark(run.step, now)
        display = self.display
        if display is None:
            return
        if self.epoch_ended:
            self.epoch_ended = False
            display.end_epoch(now)
        elif now >= display.due:
            display.draw(now)

    @hookimpl
    def on_validation_start(self, run: Run) -> None:
        """Show a validation."""
        self.tracker.start_evaluation(run, run.clock())

    @hookimpl
    def on_test_start(self, run: Run) -> None:
        """Show a test."""
        self.tracker.start_evaluation(run, run.clock())

    @hookimpl
    def on_predict_start(self, run: Run) -> None:
        """Show a prediction."""
        self.tracker.start_evaluation(run, run.clock())

    @hookimpl
    def on_validation_batch_end(self, run: Run) -> None:
        """Count a batch."""
        self.evaluate(run)

    @hookimpl
    def on_test_batch_end(self, run: Run) -> None:
        """Count a batch."""
        self.evaluate(run)

    @hookimpl
    def on_predict_batch_end(self, run: Run) -> None:
        """Count a batch."""
        self.evaluate(run)

    @hookimpl
    def on_validation_end(self, run: Run) -> None:
        """Go on with what was shown before."""
        self.tracker.end_evaluation(run.clock())

    @hookimpl
    def on_test_end(self, run: Run) -> None:
        """Go on with what was shown before."""
        self.tracker.end_evaluation(run.clock())

    @hookimpl
    def on_predict_end(self, run: Run) -> None:
        """Go on with what was shown before."""
        self.tracker.end_evaluation(run.clock())

    @hookimpl
    def on_run_end(self) -> None:
        """Close the display, however the run ended."""
        display, self.display = self.display, None
        if display is not None:
            display.close()

    def evaluate(self, run: Run) -> None:
        """Count a batch of an evaluation; show it if it is time to."""
        now = run.clock()
        self.tracker.evaluate(now)
        if self.display is not None and now >= self.display.due:
            self.display.draw(now)


def open_display(
    config: Progress.Config, tracker: Tracker, run: Run, stream: TextIO, environ: Mapping[str, str]
) -> Display:
    """Return the display that suits *stream*, opened."""
    look = partial(tracker.look, run)
    display: Display
    if draws_bars(config.style, stream, environ):
        from hookloop_progress.bars import Bars

        display = Bars(look, stream, config.refresh_hz)
    else:
        from hookloop_progress.lines import Lines

        display = Lines(look, stream, config.interval_seconds, tracker.started)
    display.open()
    return display


def draws_bars(style: str, stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Return whether *style* on *stream* means bars. A dumb terminal cannot move its cursor, so it gets lines."""
    if style == "lines" or environ.get("TERM", "").lower() in ("dumb", "unknown"):
        return False
    return style == "rich" or stream.isatty()
