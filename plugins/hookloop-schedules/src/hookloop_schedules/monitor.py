"""The plugin ``lr-monitor``: the learning rate of every group of every optimizer, as ``lr/…``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from hookloop import hookimpl

if TYPE_CHECKING:
    from hookloop import Run


class LrMonitor:
    """Logs the rates at logging boundaries and never else.

    The rate at step n is the one that holds after n steps. The end of an epoch, which follows on the last step of the
    epoch, tells those that have changed since.
    """

    role = "observer"

    def __init__(self) -> None:
        self.step = -1
        self.logged: dict[str, float] = {}
        self.groups: list[dict[str, Any]] = []
        self.ids: list[int] = []
        self.names: list[str] = []

    @hookimpl
    def on_fit_start(self, run: Run) -> None:
        """Ask to be called at each logging boundary, just before metrics are read."""
        if run.step == 0:
            self.step, self.logged = -1, {}
        self.groups, self.ids = [], []
        run.gauge(partial(self.log, run))

    def find(self, run: Run) -> None:
        """Find the groups, and name them."""
        from hookloop.loggers import named_groups

        self.groups = [group for optimizer in run.optimizers for group in optimizer.param_groups]
        self.names = [name for name, _ in named_groups(run.optimizers)]

    def log(self, run: Run) -> None:
        """Log what is new: everything at a new step, what differs at the same one."""
        again = run.step == self.step
        self.step = run.step
        ids = [id(group) for optimizer in run.optimizers for group in optimizer.param_groups]
        if ids != self.ids:
            self.ids = ids
            self.find(run)
        for name, group in zip(self.names, self.groups, strict=True):
            rate = group["lr"]
            if not isinstance(rate, float):
                if hasattr(rate, "is_cpu") and not rate.is_cpu:
                    if not again:  # to compare it, one would have to wait for the device
                        run.log(name, rate)
                    continue
                rate = float(rate)
            if not again or self.logged.get(name) != rate:
                run.log(name, rate)
            self.logged[name] = rate

    def state_dict(self) -> dict[str, Any]:
        """Return what was logged last, so that a resumed run logs the same as one that was never stopped."""
        return {"step": self.step, "logged": dict(self.logged)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from *state*."""
        self.step, self.logged = state["step"], dict(state["logged"])
