"""The plugin ``ema``: averages the weights over training, and evaluates, saves and exports the average."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from hookloop import ConfigError, hookimpl
from hookloop_guards.ema_options import EmaConfig
from hookloop_guards.instances import instance_of, others_of

if TYPE_CHECKING:
    import torch

    from hookloop import Run
    from hookloop_guards.averaging import Average

TRAINED = "trained_weights"  # where a checkpoint keeps them when its model is the average


class Ema:
    """Keeps an average beside the model; the model itself has it only within a context, and afterwards if asked to."""

    role = "actor"
    Config = EmaConfig

    def __init__(self, config: EmaConfig) -> None:
        self.config = config
        self.reset()

    def reset(self) -> None:
        """Begin with nothing averaged."""
        self.updates = 0
        self.average: Average | None = None
        self.loaded: Mapping[str, torch.Tensor] = {}
        self.trained: dict[str, torch.Tensor] | None = None

    @hookimpl
    def on_run_start(self, run: Run) -> None:
        """Forget the run before; refuse two averages in one place."""
        self.reset()
        for name, other in others_of(self, run).items():
            if shared := sorted(self.config.places & other.config.places):
                raise ConfigError(
                    f"'{name}' averages as well, and the model can have only one average in: {', '.join(shared)}. "
                    f"Leave these out of one of them: use_in = [], checkpoint = 'trained', final = 'trained'."
                )

    @hookimpl(tryfirst=True)
    def on_ready(self, run: Run) -> None:
        """Know the tensors of the model, and go on with the averages of a state."""
        from hookloop_guards.averaging import Average

        self.average = Average(run.model, self.config.buffers)
        self.average.put(self.loaded)
        self.updates = self.updates if self.average.values else 0
        self.loaded = {}

    @hookimpl(tryfirst=True)
    def on_fit_start(self) -> None:
        """Go on with the trained weights, where a state was taken when the model had the average for good."""
        if self.trained is not None and self.average is not None:
            self.average.put_into_model(self.trained)
        self.trained = None

    @hookimpl(trylast=True)
    def on_step_end(self, run: Run) -> None:
        """Average after an update, once others have had their say about the weights."""
        config = self.config
        if config.every.unit == "step" and run.step % config.every.count == 0 and config.has_started(run):
            self.update()

    @hookimpl(trylast=True)
    def on_train_epoch_end(self, run: Run) -> None:
        """Average after the training part of an epoch, so that its validation sees it."""
        config = self.config
        if config.every.unit == "epoch" and (run.epoch + 1) % config.every.count == 0 and config.has_started(run):
            self.update()

    def update(self) -> None:
        """Take the weights of now into the average."""
        from hookloop_guards.averaging import weight_of

        config = self.config
        if self.average is not None:
            weight = weight_of(config.averaging, self.updates, config.decay, warmup=config.warmup)
            self.average.update(weight)
            self.updates += 1

    def applied(self) -> AbstractContextManager[None]:
        """Return a context in which the model has the average, if there is one yet; afterwards the trained weights."""
        return nullcontext() if self.average is None or self.trained is not None else self.average.applied()

    @contextmanager
    def applied_in(self, stage: str) -> Iterator[None]:
        """Have the average in the model if it is configured for *stage*."""
        with self.applied() if stage in self.config.use_in else nullcontext():
            yield

    @hookimpl(wrapper=True)
    def run_validation(self, run: Run) -> Generator[None, Any, Any]:
        """Validate or test with the average."""
        with self.applied_in(run.stage):
            return (yield)

    @hookimpl(wrapper=True)
    def run_predict(self, run: Run) -> Generator[None, Any, Any]:
        """Predict with the average."""
        with self.applied_in(run.stage):
            return (yield)

    @hookimpl
    def on_checkpoint_save(self, run: Run, checkpoint: MutableMapping[str, Any]) -> None:
        """Make the average the model of the checkpoint, if it is configured so; the trained weights stay beside."""
        if self.config.checkpoint == "average" and self.average is not None and self.average.values:
            checkpoint[TRAINED] = checkpoint["model"]
            checkpoint["model"] = self.average.in_state_dict(run.model)

    @hookimpl
    def on_checkpoint_load(self, run: Run, checkpoint: MutableMapping[str, Any]) -> None:
        """Go on with the trained weights, and with the average of that time, also where weights are rolled back."""
        if TRAINED in checkpoint:
            checkpoint["model"] = checkpoint.pop(TRAINED)
        saved = checkpoint.get("plugins", {}).get(instance_of(self, run))
        if saved is not None and self.average is not None:
            self.put(saved["state"])

    @hookimpl(trylast=True)
    def on_fit_end(self, run: Run) -> None:
        """Write the average, and leave it in the model, if it is configured so and training was a success."""
        average = self.average
        if run.outcome not in ("completed", "stopped") or average is None or not average.values:
            return
        if self.config.file is not None and run.rank == 0:
            from hookloop_guards.writing import write_weights

            write_weights(average.in_state_dict(run.model), run.directory / self.config.file)
        if self.config.final == "average":
            self.trained = {name: each.detach().clone() for name, each in average.tensors.items()}
            average.put_into_model(average.values)

    def copy(self) -> dict[str, Any]:
        """Return a copy of the average, for `put`."""
        return {"updates": self.updates, "average": {} if self.average is None else self.average.copy()}

    def put(self, state: Mapping[str, Any]) -> None:
        """Go on from *state*, before or after the model is known."""
        self.updates, self.loaded = state["updates"], state["average"]
        if self.average is not None:
            self.average.put(self.loaded)
            self.loaded = {}

    def state_dict(self) -> dict[str, Any]:
        """Return the average, how many weights made it, and the trained weights if the model has them no more."""
        values = self.loaded if self.average is None else self.average.values
        return {"updates": self.updates, "average": dict(values), "trained": self.trained}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from *state*."""
        self.put(state)
        self.trained = state["trained"]
