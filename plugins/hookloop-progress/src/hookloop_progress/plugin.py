"""The hooks of the plugin ``progress``: they count, and leave showing to a display."""

from __future__ import annotations

import logging
import math
import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, Protocol, TextIO

from pydantic import Field

from hookloop import ConfigError, PluginConfig, hookimpl
from hookloop_progress import ending, model
from hookloop_progress.notebook import Notebook, in_notebook
from hookloop_progress.view import Tracker, View

if TYPE_CHECKING:
    from hookloop import Run

log = logging.getLogger("hookloop.progress")

Style = Literal["auto", "rich", "notebook", "lines"]


class Display(Protocol):
    """Where progress is shown. ``due`` is when `draw` is to be called next, by the run's clock.

    One that is never due has a thread, and draws by itself.
    """

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

        style: Style = "auto"
        """`auto` draws in the output of a notebook's cell, or bars when stderr is a terminal, and writes lines
        otherwise; `rich` draws bars in any case, unless `TERM` says that the terminal is dumb; `notebook` draws in the
        output of a cell; `lines` never draws."""

        interval_seconds: float = Field(10.0, gt=0)
        """Seconds between two lines. The end of an epoch adds one. Bars do without it."""

        refresh_hz: float = Field(4.0, gt=0, le=10)
        """How often a second the bars are redrawn at most, up to 10, and up to 4 in a notebook. Lines do without
        it."""

        metrics: tuple[str, ...] | None = None
        """Names of the metrics to show, in this order; without it, all that fit, but for `system/…`, `time/…` and
        `progress/…`."""

        summary: bool = True
        """Whether to describe the model at the start, and in the end to show metrics, the time of plugins, and where
        things are. The command line shows the latter by itself, so there this does not."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.tracker = Tracker(config.metrics, 0.0)
        self.display: Display | None = None
        self.epoch_ended = False

    @hookimpl
    def on_ready(self, run: Run) -> None:
        """Open the display: from now on nothing but training happens, so nobody else needs the terminal."""
        if vars(self).pop("report", self) is None:  # after another run
            run.plugins.refresh()
        if run.rank == 0 and sys.stderr is not None and not is_quiet(run):
            self.tracker = Tracker(self.config.metrics, run.clock())
            self.display = make_display(self.config, self.tracker, run, sys.stderr, os.environ)
            self.display.open()  # known by now, so that it is closed even when a Ctrl-C strikes while it opens

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
        self.tracker.end_epoch(run, run.clock())

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
        if display is None or display.due == math.inf:
            self.leave_steps_alone(run)
        elif self.epoch_ended:
            self.epoch_ended = False
            display.end_epoch(now)
        elif now >= display.due:
            display.draw(now)

    def leave_steps_alone(self, run: Run) -> None:
        """Have no more steps reported: a display with a thread looks for itself, and counts what it finds."""
        if self.tracker.fitting:
            vars(self)["report"] = None
            run.plugins.refresh()

    @hookimpl
    def on_fit_end(self, run: Run) -> None:
        """Count the last steps."""
        self.tracker.count_steps(run, run.clock())

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


def is_quiet(run: Run) -> bool:
    """Return whether the command line was told to be quiet: it then lets pass nothing below a warning."""
    return run.from_command_line and not log.isEnabledFor(logging.INFO)


def make_display(
    config: Progress.Config, tracker: Tracker, run: Run, stream: TextIO, environ: Mapping[str, str]
) -> Display:
    """Return the display that suits *stream*, not yet open."""
    look = partial(tracker.look, run)
    facts = model.facts_of(run) if config.summary else None
    opening = "" if facts is None else model.sentence(facts)
    closing = partial(tell, config, run, look)
    style = style_on(config.style, stream, environ)
    display: Display
    if style == "notebook":
        display = Notebook(look, opening, closing, config.refresh_hz)
    elif style == "rich":
        from hookloop_progress.bars import Bars

        display = Bars(look, stream, opening, closing, config.refresh_hz)
    else:
        from hookloop_progress.lines import Lines

        opening = "" if facts is None else model.words(facts)
        closing = partial(tell_tables, config, run, look)
        display = Lines(look, stream, opening, closing, config.interval_seconds, tracker.started)
    return display


def style_on(style: Style, stream: TextIO, environ: Mapping[str, str]) -> Style:
    """Return what *style* on *stream* means. A dumb terminal cannot move its cursor, so it gets lines.

    Raises ConfigError for a notebook where nobody could draw in one.
    """
    if style == "notebook" and find_spec("IPython") is None:
        raise ConfigError("style = 'notebook' needs IPython, which is not installed: use style = 'auto'.")
    if style == "notebook" or (style == "auto" and in_notebook()):
        return "notebook"
    if style == "lines" or environ.get("TERM", "").lower() in ("dumb", "unknown"):
        return "lines"
    return "rich" if style == "rich" or stream.isatty() else "lines"


def tell(config: Progress.Config, run: Run, look: Callable[[], View], columns: int) -> str:
    """Return how the run ended and what it came to.

    On the command line that is nothing, but for a failure, of which no more than an error would be told there.
    """
    if run.from_command_line:
        return "" if run.outcome != "failed" else ending.wrapped(ending.headline(look()), columns)
    parts = (ending.wrapped(ending.headline(look()), columns), tell_tables(config, run, look, columns))
    return "\n\n".join(part for part in parts if part)


def tell_tables(config: Progress.Config, run: Run, look: Callable[[], View], columns: int) -> str:
    """Return what the run came to, unless that is not wanted or the command line tells it."""
    if not config.summary or run.from_command_line:
        return ""
    return ending.table_of(run, look(), config.metrics, columns)
