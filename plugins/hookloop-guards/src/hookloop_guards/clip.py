"""The plugin ``clip``: bounds gradients by unit, by parameter or by group; ``[run]`` bounds all of them together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from hookloop import PluginConfig, hookimpl
from hookloop_guards.patterns import select

if TYPE_CHECKING:
    import torch

    from hookloop import Run

PAPER = 0.01  # the threshold of Brock et al. (2021) for batches of 4096


class Clip:
    """Clips the complete gradients of an update, before the engine's own clipping."""

    role = "actor"

    class Config(PluginConfig):
        """Options of ``[plugins.clip]``."""

        by: Literal["unit", "parameter", "group"] = "unit"
        """`unit`: adaptive gradient clipping (AGC), which bounds the gradient of each output unit by its weights.
        `parameter`: each parameter's norm by itself. `group`: that of each parameter group of the optimizers."""

        threshold: float | None = Field(None, gt=0)
        """The largest norm; by `unit`, the largest ratio of a gradient's norm to that of its weights, 0.01 unless it is
        given. Smaller batches take larger ones."""

        minimum_norm: float = Field(1e-3, gt=0)
        """By `unit`, what counts as the norm of smaller weights: units that begin at zero would never learn."""

        exclude: tuple[str, ...] = ()
        """Parameters to leave alone, by patterns of their names; for AGC, the last layer: `head`."""

        @property
        def limit(self) -> float:
            """The threshold, given or that of the paper."""
            return PAPER if self.threshold is None else self.threshold

        @model_validator(mode="after")
        def _check_threshold(self) -> Self:
            if self.by != "unit" and self.threshold is None:
                raise ValueError(f"by = '{self.by}' needs a threshold, the largest norm.")
            if self.by != "unit" and "minimum_norm" in self.model_fields_set:
                raise ValueError("minimum_norm is for by = 'unit'.")
            return self

    def __init__(self, config: Config) -> None:
        self.config = config
        self.groups: list[list[torch.nn.Parameter]] = []

    @hookimpl
    def on_fit_start(self, run: Run) -> None:
        """Know which parameters to clip."""
        named = dict(run.model.named_parameters())
        excluded = {id(named[name]) for name in select(named, self.config.exclude, "exclude")}
        self.groups = [
            [each for each in group["params"] if id(each) not in excluded]
            for optimizer in run.optimizers
            for group in optimizer.param_groups
        ]

    @hookimpl
    def on_gradients_ready(self) -> None:
        """Clip."""
        from hookloop_guards import clipping

        config, parameters = self.config, [each for group in self.groups for each in group]
        if config.by == "unit":
            clipping.clip_adaptively(parameters, config.limit, config.minimum_norm)
        elif config.by == "parameter":
            clipping.clip_each(parameters, config.limit)
        else:
            clipping.clip_groups(self.groups, config.limit)

    @hookimpl
    def on_run_end(self) -> None:
        """Let go of the model."""
        self.groups = []
