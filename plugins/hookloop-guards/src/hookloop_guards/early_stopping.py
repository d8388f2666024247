"""The plugin ``early-stopping``: ends training when a metric does not get better any more."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hookloop import ConfigError, hookimpl
from hookloop_guards.instances import instance_of
from hookloop_guards.stopper import Stopper
from hookloop_guards.stopping_options import EarlyStoppingConfig

if TYPE_CHECKING:
    from hookloop import Run
    from hookloop_guards.weights import Weights

log = logging.getLogger("hookloop.guards")

USABLE = ("completed", "stopped")


class EarlyStopping:
    """Judges each value of the monitor at the boundary where it is known, before anybody saves.

    After ``restore_best`` the model holds the best weights. The last ones are kept beside, and a run that is resumed
    from such a state goes on with them.
    """

    role = "actor"
    Config = EarlyStoppingConfig

    def __init__(self, config: EarlyStoppingConfig) -> None:
        self.config = config
        self.monitor = config.monitor
        self.reset()

    def reset(self) -> None:
        """Begin with nothing seen."""
        self.stopper = Stopper(self.config.rules)
        self.start = self.config.start
        self.training = self.epoch_ended = self.stopped = self.seen = False
        self.best_step = 0
        self.best_weights: Weights | None = None
        self.last_weights: Weights | None = None

    @hookimpl
    def on_run_start(self) -> None:
        """Forget the run before, if this instance has seen one."""
        self.reset()

    @hookimpl
    def on_ready(self, run: Run) -> None:
        """Refuse a monitor that is never going to be measured."""
        no_validation = "validate" not in run.loaders or run.config.validate_every is None
        if "train" in run.loaders and self.config.monitor.startswith("val/") and no_validation:
            raise ConfigError(
                f"it follows '{self.config.monitor}', and there is no validation in this run: give the task validation "
                "data, or set monitor to another metric, such as 'train/loss'."
            )

    @hookimpl
    def on_fit_start(self, run: Run) -> None:
        """Go on with the weights that were trained, where the model was given the best ones."""
        self.training = True
        if self.last_weights is not None:
            from hookloop_guards.weights import put_weights

            put_weights(run, self.last_weights)
            self.last_weights = None

    @hookimpl(tryfirst=True)
    def run_fit(self, run: Run) -> bool | None:
        """Train nothing where the resumed run was stopped, and would be by the options of now.

        The state is the same on all ranks, so they need not agree on it.
        """
        reason = self.stopper.standing() if self.stopped else None
        self.stopped = reason is not None
        if reason is None:
            return None
        run.request_stop(f"{self.config.monitor} {reason}")
        run.outcome = "stopped"
        log.warning(
            "%s: this run had been stopped early and nothing is trained: %s %s. To go on, raise that limit",
            instance_of(self, run),
            self.config.monitor,
            reason,
        )
        return True

    @hookimpl
    def on_epoch_end(self) -> None:
        """Let the boundary that follows count as that of the epoch."""
        self.epoch_ended = True

    @hookimpl
    def decide(self, run: Run) -> None:
        """Judge the new value, if there is one."""
        epoch_ended, self.epoch_ended = self.epoch_ended, False
        value = run.fresh_metrics.get(self.monitor)
        if value is None or not self.training:
            if epoch_ended and not self.seen and self.training:
                self.miss(run)
            return
        self.seen = True
        # Counted from 0, as the epoch in which a value was measured; at an epoch's end it is counted already.
        epoch = run.epoch - 1 if epoch_ended else run.epoch
        count, unit = self.start
        if count and (epoch if unit == "epoch" else run.step) < count:
            return
        verdict = self.stopper.judge(value, first_epoch=epoch == 0)
        if verdict.improved:
            self.keep(run)
        if verdict.reason is not None:
            self.stopped = True
            run.request_stop(f"{self.config.monitor} {verdict.reason}")

    def keep(self, run: Run) -> None:
        """Remember where the best value was measured, and on which weights if they are to be restored."""
        self.best_step = run.step
        if self.config.restore_best:
            from hookloop_guards.weights import copy_weights

            self.best_weights = copy_weights(run)

    def miss(self, run: Run) -> None:
        """Say that the monitor is not among the metrics of its kind."""
        monitor, kind = self.config.monitor, self.config.monitor.partition("/")[0] + "/"
        known = sorted(name for name in run.metrics if name.startswith(kind))
        if not known:
            return
        self.seen = True  # said once
        near = difflib.get_close_matches(monitor, known, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        message = f"it follows '{monitor}', which nobody has logged.{hint} Metrics so far: {', '.join(known)}."
        if self.config.strict:
            raise ConfigError(f"{message} If it comes later: strict = false.")
        log.warning("%s: %s", instance_of(self, run), message)

    @hookimpl
    def on_fit_end(self, run: Run) -> None:
        """Put the best weights into the model, whether training was stopped or came to its end."""
        self.training = False
        if self.best_weights is None or not self.config.restore_best or run.outcome not in USABLE:
            return
        from hookloop_guards.weights import copy_weights, put_weights

        self.last_weights = copy_weights(run)
        put_weights(run, self.best_weights)
        log.info(
            "%s: the model has the weights of step %d again, where %s was %.6g",
            instance_of(self, run),
            self.best_step,
            self.config.monitor,
            self.stopper.best,
        )

    def state_dict(self) -> dict[str, Any]:
        """Return what was seen so far, and the weights that somebody may want back."""
        return {
            "monitor": self.config.monitor,
            "mode": self.stopper.rules.mode,
            "stopper": self.stopper.state_dict(),
            "stopped": self.stopped,
            "seen": self.seen,
            "best_step": self.best_step,
            "best_weights": self.best_weights,
            "last_weights": self.last_weights,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from *state*; what was seen of another metric says nothing about this one."""
        self.last_weights = state["last_weights"]
        if (state["monitor"], state["mode"]) != (self.config.monitor, self.stopper.rules.mode):
            log.warning(
                "the state is about '%s' (%s) and begins anew for '%s' (%s)",
                state["monitor"],
                state["mode"],
                self.config.monitor,
                self.stopper.rules.mode,
            )
            return
        self.stopper.load_state_dict(state["stopper"])
        self.stopped, self.seen, self.best_step = state["stopped"], state["seen"], state["best_step"]
        self.best_weights = state["best_weights"] if self.config.restore_best else None
