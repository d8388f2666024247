"""The options of ``[plugins.early-stopping]``."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from hookloop import Interval, PluginConfig
from hookloop_guards.options import Counted
from hookloop_guards.stopper import Convention, Mode, Rules, mode_of


class EarlyStoppingConfig(PluginConfig):
    """Options of ``[plugins.early-stopping]``."""

    monitor: str = "val/loss"
    """The metric to follow. Each of its values counts: one a validation for `val/…`, one a logging boundary for
    `train/…`."""

    mode: Mode | None = None
    """`min` where a low value is good, `max` where a high one is. Needed, unless the monitor's name ends with `loss`,
    `error` or `perplexity`, which are low when they are good."""

    patience: int = Field(3, ge=0)
    """At which value in a row without an improvement training stops: 1 at the first. 0, which is the same, is for
    `convention = "keras"` only."""

    min_delta: float = 0.0
    """By more than how much a value must be better to be an improvement."""

    min_delta_mode: Literal["absolute", "relative"] = "absolute"
    """Whether `min_delta` is a difference, or a share of the best value so far: 0.01 is one percent."""

    baseline: float | None = None
    """A value that has to be beaten: as long as it is not, nothing counts as an improvement."""

    start_from: int | Counted = 0
    """From when values count: a number of epochs, or an interval such as `500 steps`. What was measured earlier is
    ignored, whatever it is."""

    restore_best: bool = False
    """Put the weights of the best value back when training is complete or was stopped. They are kept in memory, and in
    checkpoints. A final checkpoint is saved before, and holds the last weights."""

    check_finite: bool = False
    """Stop at once when the metric is NaN or infinite, instead of counting it as no improvement."""

    stopping_threshold: float | None = None
    """Stop as soon as the metric is better than this."""

    divergence_threshold: float | None = None
    """Stop as soon as the metric is worse than this."""

    convention: Convention = "consecutive"
    """`keras` stops at the very epoch at which Keras's EarlyStopping does, oddities included, but for NaN."""

    strict: bool = True
    """Fail at the end of an epoch when there are metrics of the monitor's kind and the monitor is none of them, as when
    it is misspelt; false makes it a warning."""

    @property
    def rules(self) -> Rules:
        """What the options say, for the part that decides."""
        return Rules(
            mode=self.mode or mode_of(self.monitor) or "min",
            patience=self.patience,
            min_delta=self.min_delta,
            relative=self.min_delta_mode == "relative",
            baseline=self.baseline,
            check_finite=self.check_finite,
            stopping_threshold=self.stopping_threshold,
            divergence_threshold=self.divergence_threshold,
            convention=self.convention,
        )

    @property
    def start(self) -> tuple[int, str]:
        """From when values count, as a number and its unit."""
        start = self.start_from
        return (int(start.count), start.unit) if isinstance(start, Interval) else (start, "epoch")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.mode is None and mode_of(self.monitor) is None:
            raise ValueError(f"say whether a low or a high '{self.monitor}' is good: mode = 'min' or mode = 'max'.")
        if isinstance(self.start_from, int) and self.start_from < 0:
            raise ValueError("start_from is a number of epochs, 0 or more.")
        if self.convention == "keras":
            if self.min_delta_mode == "relative":
                raise ValueError("Keras has no relative min_delta: leave out min_delta_mode, or the convention.")
        elif self.patience < 1:
            raise ValueError("patience = 0 would stop before there is a second value: 1 stops at the first bad one.")
        elif self.min_delta < 0:
            raise ValueError("min_delta is 0 or more: by how much a value has to be better.")
        return self
