"""Mixed precision: autocast around the forward pass, and for float16 a scaled loss."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import torch

from hookloop.markers import hookimpl
from hookloop.run import Run

DTYPES = {"bf16-mixed": torch.bfloat16, "fp16-mixed": torch.float16}


class Autocast:
    """Runs forward and loss in the lower precision where torch holds that to be safe, in every stage."""

    role = "actor"

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype

    @hookimpl(wrapper=True)
    def run_forward(self, run: Run) -> Generator[None, Any, Any]:
        """Wrap the forward pass."""
        with torch.autocast(run.device.type, dtype=self.dtype):
            return (yield)


class LossScaling:
    """Scales the loss so that small float16 gradients do not vanish, and skips the update when a gradient overflows.

    Micikevicius et al. (2018), section 3.2. The scale is part of the run's state.
    """

    role = "actor"

    def __init__(self, device: torch.device) -> None:
        self.scaler = torch.amp.GradScaler(device.type)
        self.scaled = self.unscaled = self.stepped = False  # what happened to the gradients of this update

    @hookimpl
    def on_ready(self, run: Run) -> None:
        """Listen for real updates: the scaler does not say whether it left one out."""
        for optimizer in run.optimizers:
            optimizer.register_step_post_hook(self.on_stepped)

    def on_stepped(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        """Note that *optimizer* really made its update; a fused one is told of an overflow and leaves it out itself."""
        found = getattr(optimizer, "found_inf", None)
        self.stepped = self.stepped or found is None or not found.item()

    @hookimpl(trylast=True)
    def run_backward(self, run: Run, loss: torch.Tensor) -> bool:
        """Compute scaled gradients."""
        self.scaled = True
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        return True

    @hookimpl(tryfirst=True)
    def on_gradients_ready(self, run: Run) -> None:
        """Take the scale out of the gradients before anyone looks at them; those of another backward have none."""
        if self.scaled:
            self.unscaled = True
            for optimizer in run.optimizers:
                self.scaler.unscale_(optimizer)

    @hookimpl(trylast=True)
    def run_optimizer_step(self, run: Run) -> bool | None:
        """Update the weights unless a gradient is infinite or NaN; False when no optimizer made its update."""
        if not self.unscaled:
            return None
        self.stepped = False
        for optimizer in run.optimizers:
            self.scaler.step(optimizer)
        return self.stepped

    @hookimpl(tryfirst=True)
    def on_optimizer_step_end(self) -> None:
        """Set the scale of the next update."""
        self.finish()

    @hookimpl(tryfirst=True)
    def on_optimizer_step_skipped(self) -> None:
        """Set the scale of the next update, whoever dropped this one."""
        self.finish()

    def finish(self) -> None:
        """End the update: let an overflow lower the scale, and a long time without one raise it."""
        if self.unscaled:
            self.scaler.update()
        self.scaled = self.unscaled = False

    def state_dict(self) -> dict[str, Any]:
        """Return the scale and how long it has held."""
        return self.scaler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Set them."""
        self.scaler.load_state_dict(state)
