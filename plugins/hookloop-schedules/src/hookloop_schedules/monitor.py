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
        self.logged: dict[str, Any] = {}  # numbers, and tensors for rates on a device
        self.named: list[tuple[str, dict[str, Any]]] = []  # the groups that there were last

    @hookimpl
    def on_fit_start(self, run: Run) -> None:
        """Ask to be called at each logging boundary, just before metrics are read."""
        if run.step == 0:
            self.step, self.logged = -1, {}
        self.named = []
        run.gauge(partial(self.read, run))

    def read(self, run: Run) -> dict[str, Any]:
        """Return what is new: everything at a new step, what differs at the same one."""
        again, self.step = run.step == self.step, run.step
        known, self.logged = self.logged, self.rates(run)
        if not again:
            return self.logged
        # To compare one on a device, one would have to wait for that.
        return {name: rate for name, rate in self.logged.items() if type(rate) is float and known.get(name) != rate}

    def rates(self, run: Run) -> dict[str, Any]:
        """Return the rate of each group as a number, or as a tensor where it is on a device."""
        if len(run.optimizers) == 1:
            groups = run.optimizers[0].param_groups
        else:
            groups = [group for optimizer in run.optimizers for group in optimizer.param_groups]
        if len(groups) != len(self.named):
            return self.rates_of_others(run)
        rates = {}
        for (name, known), group in zip(self.named, groups, strict=True):
            if group is not known:
                return self.rates_of_others(run)
            rate = group["lr"]
            rates[name] = rate if type(rate) is float or is_on_device(rate) else float(rate)
        return rates

    def rates_of_others(self, run: Run) -> dict[str, Any]:
        """Return the same for groups that are others than before, or have not been named yet."""
        from hookloop.loggers import named_groups

        self.named = list(named_groups(run.optimizers))
        return self.rates(run)

    def state_dict(self) -> dict[str, Any]:
        """Return what was logged last, so that a resumed run logs the same as one that was never stopped."""
        return {"step": self.step, "logged": {name: rate for name, rate in self.logged.items() if type(rate) is float}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from *state*."""
        self.step, self.logged = state["step"], dict(state["logged"])


def is_on_device(rate: Any) -> bool:
    """Return whether *rate* is a tensor whose number can only be had by waiting."""
    return hasattr(rate, "is_cpu") and not rate.is_cpu
