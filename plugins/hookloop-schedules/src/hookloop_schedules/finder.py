"""The plugin ``lr-finder``: tries rates from tiny to huge before training begins, and leaves no trace but a picture."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from hookloop import ConfigError, PluginConfig, SkipStep, hookimpl
from hookloop_schedules.range_test import Method, Point, candidates, diverges, smooth, suggest

if TYPE_CHECKING:
    from hookloop import Run

log = logging.getLogger("hookloop.lr-finder")


def check_file(text: str) -> str:
    """Return *text* if it names an SVG file inside of the run directory."""
    path = PurePath(text)
    if path.suffix != ".svg" or path.is_absolute() or ".." in path.parts:
        raise ValueError(f"'{text}' must name a file inside of the run directory that ends with .svg")
    return text


class LrFinder:
    """Trains some steps with ever higher rates, suggests one, and puts everything back before training begins.

    It does so where a run begins, and not where one is resumed.
    """

    role = "actor"

    class Config(PluginConfig):
        """Options of ``[plugins.lr-finder]``."""

        min_lr: float = Field(1e-7, gt=0, allow_inf_nan=False)
        """The first rate to try: that of the first parameter group; the others keep their proportion to it."""

        max_lr: float = Field(10.0, gt=0, allow_inf_nan=False)
        """The last rate to try."""

        steps: int = Field(100, ge=10)
        """How many rates to try, a step each."""

        smoothing: float = Field(0.9, ge=0, lt=1)
        """The weight of the past in the mean of the losses."""

        divergence_factor: float = Field(4.0, gt=1)
        """The test ends when the mean is that many times its lowest value."""

        suggestion: Method = "steepest"
        """Which rate to suggest: `steepest`, where the loss falls fastest, or `minimum`, a tenth of where it is
        lowest."""

        file: Annotated[str, AfterValidator(check_file)] = "lr-finder.svg"
        """Where to draw loss against rate, inside of the run directory; the points are beside it, in a `.json`."""

        apply: bool = False
        """Train with the suggested rate, in place of the optimizer's."""

        @model_validator(mode="after")
        def check_range(self) -> Self:
            """Raise ValueError unless there is something between the first and the last rate."""
            if self.max_lr <= self.min_lr:
                raise ValueError(f"max_lr = {self.max_lr:g} must be more than min_lr = {self.min_lr:g}")
            return self

    def __init__(self, config: Config) -> None:
        self.config = config

    @hookimpl(trylast=True)
    def on_fit_start(self, run: Run) -> None:
        """Test, tell, and begin training as if nothing had been."""
        if run.step or run.device.type == "meta":  # on meta there is no loss to be found
            return
        self.check(run)
        points = self.test(run)
        best = suggest(points, self.config.suggestion)
        self.write(run, points, best)
        if best is None:
            log.warning("no rate from %g to %g made the loss fall: see %s", *self.ends(points), self.config.file)
            return
        log.info("suggested learning rate: %.3g, of %d tried; see %s", best, len(points), self.config.file)
        if self.config.apply:
            apply_rate(run, best)

    def ends(self, points: Sequence[Point]) -> tuple[float, float]:
        """Return the first and the last rate that were tried."""
        return (points[0].lr, points[-1].lr) if points else (self.config.min_lr, self.config.max_lr)

    def check(self, run: Run) -> None:
        """Raise ConfigError where there can be no test, and for another instance that would write the same file."""
        if run.world_size > 1:
            raise ConfigError("lr-finder: the range test runs in one process; find the rate there, and write it down.")
        if not own_rates(run)[0] > 0:
            raise ConfigError("lr-finder: the first parameter group has the rate 0, and others are set in proportion.")
        if self.config.apply and any(each.state_dict() for each in run.schedules):
            raise ConfigError(
                "plugins.lr-finder.apply: the schedule remembers the rate that it was made with; write the suggested "
                "rate into [optimizer] instead."
            )
        for other in run.plugins:
            same = other.plugin is not self and isinstance(other.plugin, LrFinder)
            if same and other.plugin.config.file == self.config.file:
                raise ConfigError(
                    f"two plugins write {self.config.file}: give [plugins.{other.instance}] its own file."
                )

    def test(self, run: Run) -> list[Point]:
        """Train a step with each rate, until it diverges, and return what came of it."""
        rates = candidates(self.config.min_lr, self.config.max_lr, self.config.steps)
        losses: list[float] = []
        means: list[float] = []
        with run.rehearse() as batches:
            for lr in rates:
                set_rates(run, lr)
                losses.append(train_step(run, batches))
                means = smooth(losses, self.config.smoothing)
                if diverges(means, self.config.divergence_factor):
                    break
        return [Point(*each) for each in zip(rates, losses, means, strict=False)]

    def write(self, run: Run, points: Sequence[Point], best: float | None) -> None:
        """Draw the picture, and write the points for programs."""
        from hookloop_schedules.chart import Line, draw

        path = run.directory / self.config.file
        path.parent.mkdir(parents=True, exist_ok=True)
        shown = [each for each in points if math.isfinite(each.smoothed)]
        rates = [each.lr for each in shown]
        lines = [
            Line("loss", rates, [each.loss for each in shown], faint=True),
            Line("mean", rates, [each.smoothed for each in shown]),
        ]
        title = "Range test" if best is None else f"Range test: suggested learning rate {best:.3g}"
        path.write_text(draw(lines, title, "learning rate", "loss", log_x=True, mark=best), encoding="utf-8")
        document = {"suggestion": best, "tried": len(points), "points": [vars(each) for each in shown]}
        path.with_suffix(".json").write_text(json.dumps(document, indent=1), encoding="utf-8")


def own_rates(run: Run) -> list[float]:
    """Return the rate that each parameter group was given, whatever a schedule has made of it."""
    groups = [group for optimizer in run.optimizers for group in optimizer.param_groups]
    return [float(group.get("initial_lr", group["lr"])) for group in groups]


def set_rates(run: Run, lr: float) -> None:
    """Set the rate of the first group to *lr*, and those of the others in proportion to it."""
    from hookloop_schedules.groups import set_rate

    first, *_ = rates = own_rates(run)
    groups = [group for optimizer in run.optimizers for group in optimizer.param_groups]
    for group, rate in zip(groups, rates, strict=True):
        set_rate(group, lr * (rate / first))


def train_step(run: Run, batches: Iterator[Any]) -> float:
    """Make one update as training would, and return the loss; NaN when it was skipped."""
    run.window = [next(batches) for _ in range(run.config.accumulate)]
    try:
        run.plugins.hooks.run_step(run)
    except SkipStep:
        return math.nan
    return math.nan if run.loss is None else float(run.loss.detach())


def apply_rate(run: Run, lr: float) -> None:
    """Make *lr* the rate of the first group, with the others in proportion, and let the schedules begin from there."""
    set_rates(run, lr)
    for optimizer in run.optimizers:
        for group in optimizer.param_groups:
            if "initial_lr" in group:
                group["initial_lr"] = float(group["lr"])
    for schedule in run.schedules:
        schedule.apply(run)
