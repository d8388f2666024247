"""The schedule ``warmup``: a rise from little, in front of any other schedule."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hookloop.schedules import Rate, between
from hookloop_schedules.groups import set_rate
from hookloop_schedules.naming import make_inner, wants_optimizer
from hookloop_schedules.stepping import brings_options, show, takes_value

if TYPE_CHECKING:
    import torch

Attach = Callable[["torch.optim.Optimizer"], Any]


def warmup(length: int, then: Any = "constant", start_factor: float = 0.01, period: int | None = None) -> Rate | Attach:
    """Rise in a straight line to where *then* begins, in *length*, and go on as *then* does from there.

    ``r0 * (start_factor + (1 - start_factor) * t / length)`` for t < length, with r0 what *then* gives at 0; afterwards
    what *then* gives at ``t - length``. Goyal et al. (2017), section 2.2. *then* is a name, a location, or a table with
    ``use`` and options; its ``period`` is what *length* leaves of *period*, which is the run's length.
    """
    if length <= 0:
        raise ValueError(f"length must be more than 0, not {length}")
    if not 0 <= start_factor <= 1:
        raise ValueError(f"start_factor must be from 0 to 1, not {start_factor}")
    try:
        inner = make_inner(then, None if period is None else period - length)
    except (TypeError, ValueError) as error:
        raise ValueError(f"then: {error}") from error
    if wants_optimizer(inner):
        return attached(inner, length, start_factor)

    def rate(t: int, lr: float) -> float:
        if t >= length:
            return inner(t - length, lr)  # type: ignore[no-any-return]
        return float(inner(0, lr)) * between(start_factor, 1.0, t / length)

    return rate


def attached(inner: Attach, length: int, start_factor: float) -> Attach:
    """Return what makes a warm-up in front of a schedule with a memory."""

    def attach(optimizer: torch.optim.Optimizer) -> Warmup:
        stepper = inner(optimizer)
        kind = FollowingWarmup if takes_value(stepper) or hasattr(stepper, "observe") else Warmup
        targets = [float(group["lr"]) for group in optimizer.param_groups]
        made = kind(optimizer, stepper, length, start_factor, targets)
        made.set_rates()
        return made

    return attach


class Warmup:
    """Warms an optimizer up to *targets*, where a schedule with a memory has set it, and lets that one go on."""

    def __init__(
        self, optimizer: torch.optim.Optimizer, inner: Any, length: int, start_factor: float, targets: list[float]
    ) -> None:
        self.optimizer = optimizer
        self.inner = inner
        self.length = length
        self.start_factor = start_factor
        self.keeps_options = brings_options(inner)
        self.targets = targets
        self.count = 0

    def set_rates(self) -> None:
        """Set the rates of the rise."""
        factor = between(self.start_factor, 1.0, min(self.count, self.length) / self.length)
        for group, target in zip(self.optimizer.param_groups, self.targets, strict=False):
            set_rate(group, target * factor)

    def step(self) -> None:
        """Count one, in the rise or behind it."""
        self.count += 1
        if self.count <= self.length:
            self.set_rates()
        elif not takes_value(self.inner):
            self.inner.step()

    def state_dict(self) -> dict[str, Any]:
        """Return how far it has come, where to, and what the schedule behind it has to know."""
        return {"count": self.count, "targets": list(self.targets), "inner": self.inner.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from *state*; ValueError when it is that of other parameter groups."""
        if len(state["targets"]) != len(self.targets):
            raise ValueError(f"it has {len(state['targets'])} parameter groups, and there are {len(self.targets)}")
        self.inner.load_state_dict(state["inner"])
        self.count, self.targets = state["count"], list(state["targets"])


class FollowingWarmup(Warmup):
    """The same in front of a schedule that follows a metric, which is not shown any before the rise is over."""

    def observe(self, value: float) -> None:
        """Hand *value* on."""
        if self.count >= self.length:
            show(self.inner, value)
