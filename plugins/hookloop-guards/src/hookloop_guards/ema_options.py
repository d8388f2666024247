"""The options of ``[plugins.ema]``."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from hookloop import Interval, PluginConfig
from hookloop_guards.options import Counted

if TYPE_CHECKING:
    from hookloop import Run

Which = Literal["trained", "average"]


def check_file(text: str) -> str:
    """Return *text* if it names a file of weights inside of a directory."""
    path = PurePath(text)
    if path.is_absolute() or ".." in path.parts or path.suffix != ".pt":
        raise ValueError(f"'{text}' must name a file inside of the run directory that ends in .pt, such as 'ema.pt'")
    return text


class EmaConfig(PluginConfig):
    """Options of ``[plugins.ema]``."""

    averaging: Literal["ema", "swa"] = "ema"
    """`ema`: each time, the average moves by `1 - decay` towards the weights of now. `swa`: the mean of all
    weights that were averaged, each counting the same; set `every` and `start` for it."""

    decay: float = Field(0.999, ge=0, lt=1)
    """The share of the average that stays at each update of an `ema`."""

    warmup: bool = False
    """Let the decay of an `ema` begin low: `min(decay, (1 + n) / (10 + n))` at its n-th update."""

    every: Counted = Interval(1, "step")
    """How often to average: `1 step`, `10 steps`, or `1 epoch`, which is before its validation."""

    start: Counted | None = None
    """After how many steps or epochs averaging begins; without it, after the first step."""

    buffers: Literal["average", "copy"] = "average"
    """What goes with averaged weights of buffers, such as those of batch normalisation: their `average`, or a `copy` of
    what the model has."""

    use_in: tuple[Literal["validate", "test", "predict"], ...] = ("validate", "test", "predict")
    """Where the model has the average. Afterwards it has the trained weights again, however that ended."""

    checkpoint: Which = "trained"
    """Which weights are the model of a checkpoint, for whoever exports it. Both are in it, and a resumed run goes on
    exactly."""

    final: Which = "trained"
    """Which weights the model has after training that was completed or stopped."""

    file: Annotated[str, AfterValidator(check_file)] | None = None
    """Where to write the averaged model when training is completed or stopped, such as `ema.pt`, inside of the run
    directory: for `--weights`."""

    @property
    def places(self) -> set[str]:
        """Where the average takes the place of the trained weights; two instances cannot share one."""
        places: set[str] = {*self.use_in}
        if self.checkpoint == "average":
            places.add("checkpoint")
        if self.final == "average":
            places.add("final")
        return places

    def has_started(self, run: Run) -> bool:
        """Return whether the weights of now count."""
        if self.start is None:
            return True
        return run.epoch >= self.start.count if self.start.unit == "epoch" else run.step > self.start.count

    @model_validator(mode="after")
    def _check_averaging(self) -> Self:
        useless = [name for name in ("decay", "warmup") if name in self.model_fields_set]
        if self.averaging == "swa" and useless:
            raise ValueError(f"{', '.join(useless)}: averaging = 'swa' is the plain mean and has none.")
        return self
