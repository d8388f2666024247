"""The plugin ``parameters``: histograms and norms of parameters and gradients, for whoever shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hookloop import ConfigError, Interval, PluginConfig, Trigger, hookimpl

if TYPE_CHECKING:
    from hookloop import Run
    from hookloop_tensorboard.tensors import Gradients


class Parameters:
    """Looks at the model at an interval; in the other steps it only asks whether it is time.

    Gradients are those of the step in question, complete and before they are clipped. They are copied then, and logged
    when the step is counted, so that both belong to the same step.
    """

    role = "observer"

    class Config(PluginConfig):
        """Options of ``[plugins.parameters]``."""

        every: Interval = Interval(1, "epoch")
        """How often, such as `100 steps` or `1 epoch`: after the last step of the epoch. With several processes, in
        steps or epochs."""

        histograms: bool = True
        """Log how the values are distributed, where a plugin takes histograms."""

        norms: bool = True
        """Log the Euclidean norm of each module's own parameters, and of all."""

        gradients: bool = True
        """Do so for gradients as well."""

        buffers: bool = False
        """Log histograms of buffers as well, such as the statistics of batch normalization."""

        include: tuple[str, ...] = ("*",)
        """Which parameters, by patterns of their names: `encoder.*`."""

        exclude: tuple[str, ...] = ()
        """Which of these not."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.reset()

    def reset(self) -> None:
        """Begin with nothing seen."""
        self.trigger = Trigger(self.config.every)
        self.count = int(self.config.every.count)
        self.unit = self.config.every.unit
        self.waiting = False  # it is time, by samples or seconds, and no step was made since
        self.gradients: Gradients | None = None
        self.gradients_epoch = -1

    @hookimpl
    def on_run_start(self) -> None:
        """Forget the run before, if this instance has seen one."""
        self.reset()

    @hookimpl
    def on_fit_start(self, run: Run) -> None:
        """Look whether the options fit the model and the run."""
        from hookloop_tensorboard.tensors import selected

        if run.world_size > 1 and self.unit in ("second", "sample"):
            raise ConfigError(
                f"plugins.parameters.every = '{self.config.every}': several processes do not agree on it. "
                "Count steps or epochs."
            )
        if not selected(run.model, self.config.include, self.config.exclude):
            names = ", ".join(name for name, _ in selected(run.model, ("*",), ()))
            raise ConfigError(
                f"plugins.parameters.include: no parameter is called {' or '.join(self.config.include)} without "
                f"'exclude'. There are: {names or 'none'}."
            )

    @hookimpl
    def on_gradients_ready(self, run: Run) -> None:
        """Take the gradients if the step that is being made is one to look at."""
        if self.is_due(run):
            self.take(run)

    @hookimpl
    def on_step_end(self, run: Run) -> None:
        """Log what was taken, as the step is counted now; parameters of an epoch wait for its end."""
        if self.gradients is not None:
            self.log_gradients(run)
            if self.unit != "epoch":
                self.log_parameters(run)

    @hookimpl
    def on_train_epoch_end(self, run: Run) -> None:
        """Log the parameters, and the gradients where nobody could know which step is the last."""
        if self.unit == "epoch" and (run.epoch + 1) % self.count == 0:
            if run.batches_per_epoch is None:
                self.take(run)
                self.log_gradients(run)
            self.log_parameters(run)

    def is_due(self, run: Run) -> bool:
        """Return whether it is time, once this step is counted."""
        if self.unit == "step":
            return (run.step + 1) % self.count == 0
        if self.unit == "epoch":
            return run.batch_index == run.batches_per_epoch and (run.epoch + 1) % self.count == 0
        self.waiting = self.trigger.due(run) or self.waiting
        return self.waiting

    def take(self, run: Run) -> None:
        """Take the gradients, as far as anybody wants them."""
        from hookloop_tensorboard.tensors import Gradients, copies, norms, selected

        self.gradients = Gradients({}, [])
        if not self.config.gradients:
            return
        found = [(name, each.grad) for name, each in selected(run.model, self.config.include, self.config.exclude)]
        present = [(name, each) for name, each in found if each is not None]
        if self.config.norms:
            self.gradients.norms.update(norms(present, "gradients"))
        if self.config.histograms and run.plugins.hooks.log_histogram:
            self.gradients.copies.extend(copies(present, keep=run.rank == 0))

    def log_gradients(self, run: Run) -> None:
        """Log what was taken."""
        taken, self.gradients, self.waiting = self.gradients, None, False
        if taken is None:
            return
        for name, norm in taken.norms.items():
            run.log(name, norm)
        for name, values in taken.copies:
            run.log_histogram(f"gradients/{name}", values)

    def log_parameters(self, run: Run) -> None:
        """Log the parameters as they are now."""
        from hookloop_tensorboard.tensors import buffers, norms, selected, whole

        config = self.config
        found = selected(run.model, config.include, config.exclude)
        if config.norms:
            for name, norm in norms(found, "parameters").items():
                run.log(name, norm)
        for kind, tensors in (("parameters", found), ("buffers", buffers(run.model, config.include, config.exclude))):
            if config.histograms and (kind == "parameters" or config.buffers) and run.plugins.hooks.log_histogram:
                for name, tensor in tensors:
                    run.log_histogram(f"{kind}/{name}", whole(tensor))

    def state_dict(self) -> dict[str, Any]:
        """Return when it was last due."""
        return {"trigger": self.trigger.state_dict(), "waiting": self.waiting}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from *state*."""
        self.trigger.load_state_dict(state["trigger"])
        self.waiting = state["waiting"]
