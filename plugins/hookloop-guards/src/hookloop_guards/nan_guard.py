"""The plugin ``nan-guard``: notices a NaN or an infinity, says where it came from, and does what it is told to."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any

from hookloop import ConfigError, HookloopError, SkipBatch, SkipStep, hookimpl
from hookloop_guards.instances import instance_of
from hookloop_guards.nan_hooks import idle_hooks, idle_where_read_at_once, mask, unmask
from hookloop_guards.nan_options import NanGuardConfig

if TYPE_CHECKING:
    import torch

    from hookloop import Run
    from hookloop_guards.finite import Place, Watch
    from hookloop_guards.tracing import ModuleTrace

log = logging.getLogger("hookloop.guards")

KINDS = {"loss": "train/nonfinite_losses", "gradients": "train/nonfinite_gradients"}


class NanGuard:
    """Looks at each number at once on the CPU, and on a device at the logging boundaries, with what is read there.

    ``skip`` has to know before the update, so it reads a number in every step on a device as well.
    """

    role = "actor"
    Config = NanGuardConfig

    def __init__(self, config: NanGuardConfig) -> None:
        self.config = config
        mask(self, idle_hooks(config))
        self.reset()

    def reset(self) -> None:
        """Begin with nothing found."""
        self.watches: dict[str, Watch] = {}
        self.trace: ModuleTrace | None = None
        self.at_once = False
        self.found: tuple[int, str] | None = None  # the step, and what to say of it
        self.rollbacks = self.skips = self.skips_in_a_row = 0
        self.skipping = False

    @hookimpl
    def on_run_start(self, run: Run) -> None:
        """Forget the run before; refuse what several processes could not do together."""
        self.reset()
        if run.world_size > 1 and self.config.policy == "roll-back":
            raise ConfigError("policy = 'roll-back' is for a single process; in several, use 'stop' and --resume.")

    @hookimpl
    def on_fit_start(self, run: Run) -> None:
        """Begin to watch."""
        from hookloop_guards.finite import Watch
        from hookloop_guards.tracing import ModuleTrace

        policy = self.config.policy
        self.read_at_once(run, at_once=run.device.type == "cpu" or policy == "skip")
        # One process that skipped a loss of its own would leave the others waiting: averaged gradients are everyone's.
        together = policy == "skip" and run.world_size > 1
        wanted = {"loss": not together, "gradients": self.config.gradients or together}
        if run.precision == "fp16-mixed":
            wanted["gradients"] = False
        self.watches = {kind: Watch() for kind in KINDS if wanted[kind]}
        if self.config.modules:
            self.trace = ModuleTrace(run.model)
            self.trace.attach()
        run.gauge(self.counts)

    def read_at_once(self, run: Run, *, at_once: bool) -> None:
        """Judge each number as it comes, where no boundary has anything to look for; or leave that to boundaries."""
        if at_once != self.at_once:
            self.at_once = at_once
            (mask if at_once else unmask)(self, idle_where_read_at_once(self.config))
            run.plugins.refresh()

    @hookimpl
    def on_forward_start(self) -> None:
        """Watch the modules in this forward pass."""
        if self.trace is not None and "loss" in self.watches:
            self.trace.begin(self.watches["loss"].number)

    @hookimpl(tryfirst=True)
    def on_backward_start(self, run: Run, loss: torch.Tensor) -> None:
        """Watch the loss as it goes into the backward pass, before anybody is told of that."""
        if self.trace is not None:
            self.trace.end()
        watch, value = self.watches.get("loss"), run.loss_value
        if watch is not None:
            if self.at_once and value is not None and isfinite(value):
                watch.number += 1
            else:
                self.look(run, "loss", loss)

    @hookimpl
    def on_gradients_ready(self, run: Run) -> None:
        """Watch the gradients, before they are clipped."""
        if "gradients" not in self.watches:
            return
        from hookloop_guards.finite import largest

        parameters = (
            each for optimizer in run.optimizers for group in optimizer.param_groups for each in group["params"]
        )
        value = largest([each.grad for each in parameters if each.grad is not None])
        if value is not None:
            self.look(run, "gradients", value)

    def look(self, run: Run, kind: str, value: torch.Tensor) -> None:
        """Watch *value*, and act now where it can be read without waiting, or has to be."""
        # The window's last micro-batch is counted when gradients are complete, and is not while its loss is computed.
        batch = run.batch_index + 1 if kind == "loss" else run.batch_index
        watch = self.watches[kind]
        if not self.at_once:
            watch.add(value.detach(), run.step + 1, batch)
            return
        place = watch.judge(value.item(), run.step + 1, batch)
        if place is not None and self.found is None:
            self.act_now(run, kind, place)

    def act_now(self, run: Run, kind: str, place: Place) -> None:
        """Act before the update, while the weights are still good; to roll back, wait for the boundary."""
        said = self.describe(run, kind, place)
        policy, leave_out = self.config.policy, SkipBatch if kind == "loss" else SkipStep
        if policy == "raise":
            raise HookloopError(said)
        if policy == "roll-back":
            self.found = place.step, said
            return
        if policy == "stop":
            run.request_stop(said)
        else:
            self.count_skip(run, said)
        raise leave_out(said)

    def count_skip(self, run: Run, said: str) -> None:
        """Count what is left out, and fail when it is too much."""
        self.skips += 1
        if self.trace is not None:
            self.trace.forget()
        if not self.skipping:
            self.skipping = True
            self.skips_in_a_row += 1
        log.log(logging.WARNING if self.skips == 1 else logging.DEBUG, "%s: %s; skipped", instance_of(self, run), said)
        if self.skips_in_a_row > self.config.max_skips:
            raise HookloopError(f"{said}, after {self.config.max_skips} steps in a row with something to skip.")

    @hookimpl
    def on_step_start(self) -> None:
        """End the row of steps with something to skip where the last one had none."""
        self.skips_in_a_row = self.skips_in_a_row if self.skipping else 0
        self.skipping = False

    def counts(self) -> dict[str, Any]:
        """Return how many were not finite, to be logged, in the one copy in which the metrics are read."""
        counts: dict[str, Any] = {}
        for kind, watch in self.watches.items():
            count = watch.take() if self.at_once else watch.count()
            if count is not None:
                counts[KINDS[kind]] = count
        return counts

    @hookimpl
    def on_metrics(self, run: Run, metrics: Mapping[str, float]) -> None:
        """See what was counted; only where there is something, ask where it was."""
        if not self.at_once:
            for kind, watch in self.watches.items():
                if metrics.get(KINDS[kind]) and self.found is None:
                    place = watch.first()
                    if place is not None:
                        self.found = place.step, self.describe(run, kind, place)
                watch.forget()
        if self.trace is not None:
            self.trace.forget()

    @hookimpl
    def decide(self, run: Run) -> None:
        """Act on what was found."""
        if self.found is None or not self.watches:
            return
        (step, said), self.found = self.found, None
        if self.config.policy == "raise":
            raise HookloopError(said)
        if self.config.policy == "stop":
            run.request_stop(said)
            return
        self.rollbacks += 1
        if self.rollbacks > self.config.max_rollbacks:
            raise HookloopError(f"{said}, and max_rollbacks = {self.config.max_rollbacks} are used up.")
        from hookloop_guards.rolling import roll_back

        path = roll_back(run, step)
        log.warning("%s: %s; rolled back to the weights of %s", instance_of(self, run), said, path)
        # The newest snapshot may hold what was just left behind.
        run.request_save("rolled back")

    def describe(self, run: Run, kind: str, place: Place) -> str:
        """Say what was found and where, for a person."""
        if kind == "gradients":
            return f"a gradient was NaN or infinite {place}{self.names_of_bad(run)}"
        culprit = self.trace.first(place.number) if self.trace is not None else None
        if culprit is not None:
            return f"the loss was NaN or infinite {place}, first in the output of the module '{culprit}'"
        loss_itself = " though every module's output was finite: look at the loss function" if self.trace else ""
        return f"the loss was NaN or infinite {place}{loss_itself}"

    def names_of_bad(self, run: Run) -> str:
        """Name the parameters with such gradients, while these are still there."""
        if not self.at_once:
            return ""
        named = [(name, each.grad) for name, each in run.model.named_parameters() if each.grad is not None]
        bad = [name for name, grad in named if not bool(grad.isfinite().all())]
        more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        return f", of {', '.join(bad[:3])}{more}" if bad else ""

    @hookimpl
    def on_fit_end(self, run: Run) -> None:
        """Watch no more, and say how much was left out."""
        if self.skips:
            log.warning("%s: %d batches or updates were skipped in all", instance_of(self, run), self.skips)
        if self.found is not None:
            log.warning("%s: noticed when training had ended: %s", instance_of(self, run), self.found[1])
        self.let_go()

    @hookimpl
    def on_run_end(self) -> None:
        """Let go of the model, however the run ended; another may be on a device."""
        self.let_go()
        unmask(self, idle_where_read_at_once(self.config))

    def let_go(self) -> None:
        """Take the hooks off the modules."""
        if self.trace is not None:
            self.trace.detach()
        self.trace, self.watches = None, {}

    def state_dict(self) -> dict[str, Any]:
        """Return how often it has acted."""
        return {"rollbacks": self.rollbacks, "skips": self.skips, "skips_in_a_row": self.skips_in_a_row}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from *state*."""
        self.rollbacks, self.skips = state["rollbacks"], state["skips"]
        self.skips_in_a_row = state["skips_in_a_row"]
