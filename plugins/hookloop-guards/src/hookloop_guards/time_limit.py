"""The plugin ``time-limit``: stops training, and saves, before somebody else ends it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, Self

from pydantic import AwareDatetime, model_validator

from hookloop import PluginConfig, hookimpl
from hookloop_guards.options import Duration

if TYPE_CHECKING:
    from hookloop import Run


class TimeLimit:
    """Looks at the clock at each boundary of a step, or of an epoch."""

    role = "actor"

    class Config(PluginConfig):
        """Options of ``[plugins.time-limit]``."""

        duration: Duration | None = None
        """For how long to train: `90 min`, `26 hours`, `2 days`."""

        until: AwareDatetime | None = None
        """Until when to train: a date and time with its offset from UTC, as in `2026-03-01T06:00:00+01:00`."""

        of: Literal["attempt", "run"] = "attempt"
        """What the duration is counted of: this `attempt`, as for the limit of a job, or the whole `run`, the time
        before a resume included."""

        at: Literal["step", "epoch"] = "step"
        """Where to stop: after the next `step`, or after the next complete `epoch` and its validation."""

        save: bool = True
        """Ask for a checkpoint on stopping, of whoever saves."""

        @model_validator(mode="after")
        def _check_limit(self) -> Self:
            if self.duration is None and self.until is None:
                raise ValueError("say for how long, duration = '90 min', or until when, until = 2026-03-01T06:00:00Z.")
            if self.duration is None and "of" in self.model_fields_set:
                raise ValueError("'of' says what a duration is counted of, and there is none.")
            return self

    def __init__(self, config: Config) -> None:
        self.config = config
        self.training = self.epoch_ended = False
        self.started_seconds = 0.0

    @hookimpl
    def on_fit_start(self, run: Run) -> None:
        """Start to count, and stop at once where it is too late already."""
        self.training, self.epoch_ended = True, False
        self.started_seconds = run.clock()
        self.stop_if_late(run)

    @hookimpl
    def on_epoch_end(self) -> None:
        """Let the boundary that follows count as that of the epoch."""
        self.epoch_ended = True

    @hookimpl
    def decide(self, run: Run) -> None:
        """Look at the clock."""
        epoch_ended, self.epoch_ended = self.epoch_ended, False
        if self.training and (epoch_ended or self.config.at == "step"):
            self.stop_if_late(run)

    def stop_if_late(self, run: Run) -> None:
        """Propose to stop when a limit is reached."""
        reason = self.reason(run, datetime.now(UTC))
        if reason is not None:
            run.request_stop(reason)
            if self.config.save:
                run.request_save(reason)

    def reason(self, run: Run, now: datetime) -> str | None:
        """Return which limit is reached, or None."""
        duration, until = self.config.duration, self.config.until
        counted = run.elapsed_seconds if self.config.of == "run" else run.clock() - self.started_seconds
        if duration is not None and counted >= duration.count:
            return f"the time limit of {duration} is over"
        if until is not None and now >= until:
            return f"it is past {until.isoformat()}"
        return None

    @hookimpl
    def on_fit_end(self) -> None:
        """Let evaluations alone."""
        self.training = False
