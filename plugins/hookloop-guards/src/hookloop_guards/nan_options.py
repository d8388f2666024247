"""The options of ``[plugins.nan-guard]``."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from hookloop import PluginConfig

Policy = Literal["stop", "raise", "skip", "roll-back"]


class NanGuardConfig(PluginConfig):
    """Options of ``[plugins.nan-guard]``."""

    policy: Policy = "stop"
    """What to do about a NaN or an infinity: `stop` training; `raise`, so that the run fails; `skip` the batch or the
    update; `roll-back` to the weights of the newest snapshot from before, and go on with the data after it."""

    gradients: bool = False
    """Watch the gradients of each update as well as the loss. Under `fp16-mixed` they are left to the loss scaling,
    which skips such updates itself."""

    modules: bool = False
    """Name the first module whose output was not finite. It looks at the output of every module in every step."""

    max_skips: int = Field(100, ge=1)
    """How many steps in a row may have something to `skip` before the run fails."""

    max_rollbacks: int = Field(3, ge=1)
    """How often the run may `roll-back` before it fails, those before a resume included."""

    @model_validator(mode="after")
    def _check_limits(self) -> Self:
        for name, policy in (("max_skips", "skip"), ("max_rollbacks", "roll-back")):
            if name in self.model_fields_set and self.policy != policy:
                raise ValueError(f"{name} is for policy = '{policy}', and this is policy = '{self.policy}'.")
        return self
