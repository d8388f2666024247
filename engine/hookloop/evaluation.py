"""Validation, test and prediction: the model in evaluation mode, without gradients, leaving no trace in training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import torch

from hookloop.control import Skip
from hookloop.loaders import check_ended, walk
from hookloop.loop import forward, no_pair
from hookloop.markers import hookimpl
from hookloop.rng import preserved_rng

if TYPE_CHECKING:
    from hookloop.manager import Hooks
    from hookloop.run import Run, Stage

PREFIX: dict[Stage, str] = {"validate": "val", "test": "test"}


@contextmanager
def evaluating(run: Run, stage: Stage) -> Iterator[None]:
    """Set *stage*, evaluation mode and no gradients, and put everything back: each module's own mode, the batch, RNG.

    Modes are put back module by module: a layer that the user froze in evaluation mode stays frozen. After an error
    ``run`` stays at the batch that it struck at, for `on_exception` to look at.
    """
    before = run.stage, run.batch, run.output, run.loss
    stays = False
    modes = [(module, module.training) for module in run.model.modules()]
    run.stage = stage
    run.model.eval()
    try:
        with torch.no_grad(), preserved_rng(run.device):
            yield
    except BaseException as error:
        stays = not isinstance(error, Skip)
        raise
    finally:
        for module, training in modes:
            module.training = training
        if not stays:
            run.stage, run.batch, run.output, run.loss = before


def set_training(model: torch.nn.Module) -> None:
    """Set training mode, but for what was frozen: modules in evaluation mode that have no parameter to train."""
    frozen = [module for module in model.modules() if not module.training and is_frozen(module)]
    model.train()
    for module in frozen:
        module.eval()


def is_frozen(module: torch.nn.Module) -> bool:
    """Return whether *module* has parameters, and none of them requires a gradient."""
    wanted = [parameter.requires_grad for parameter in module.parameters()]
    return bool(wanted) and not any(wanted)


class Evaluation:
    """The default of ``run_validation``, which tests as well, and of ``run_predict``."""

    role = "actor"

    def __init__(self, hooks: Hooks) -> None:
        self.hooks = hooks

    def evaluate(self, run: Run, stage: Literal["validate", "test"]) -> bool:
        """Run one validation or test between its start and its end events; False when a signal cut it short."""
        name = "validation" if stage == "validate" else "test"
        with evaluating(run, stage):
            self.fire(f"on_{name}_start", run)
            self.hooks.run_validation(run)
            if run.control.signal is not None:
                # Part of the data gives no metric: a checkpoint comes first now, and a resumed run validates anew.
                run.store.discard(PREFIX[stage] + "/")
                return False
            self.fire(f"on_{name}_end", run)
        return True

    def predict(self, run: Run) -> None:
        """Run one prediction between its start and its end events."""
        with evaluating(run, "predict"):
            self.fire("on_predict_start", run)
            self.hooks.run_predict(run)
            self.fire("on_predict_end", run)

    @hookimpl(trylast=True)
    def run_validation(self, run: Run) -> bool:
        """Walk once over the data of ``run.stage`` and log the loss, averaged by samples."""
        name, prefix = ("validation", "val") if run.stage == "validate" else ("test", "test")
        for fetched in self.batches(run):
            batch = self.transfer(run, fetched)
            self.fire(f"on_{name}_batch_start", run, batch)
            self.forward(run, batch)
            if run.loss is not None:
                run.store.add_tensor(f"{prefix}/loss", run.loss, run.task.batch_size(batch))
            self.fire(f"on_{name}_batch_end", run, batch)
        return True

    @hookimpl(trylast=True)
    def run_predict(self, run: Run) -> bool:
        """Walk once over the data to predict."""
        for fetched in self.batches(run):
            batch = self.transfer(run, fetched)
            self.fire("on_predict_batch_start", run, batch)
            self.forward(run, batch)
            self.fire("on_predict_batch_end", run, batch, run.output)
        return True

    def batches(self, run: Run) -> Iterator[Any]:
        """Yield the batches of ``run.stage`` until the end or a signal."""
        loader, count = run.loaders[run.stage], 0
        batches = walk(loader, run.epoch)
        while run.control.signal is None:
            try:
                batch = next(batches)
            except StopIteration as end:
                check_ended(loader, run.stage, run.epoch, count, end)
                return
            count += 1
            yield batch

    def transfer(self, run: Run, batch: Any) -> Any:
        """Move *batch* to the device, as ``run.batch``; what was made of the one before it is freed."""
        run.output = run.loss = None
        run.batch = self.hooks.transfer_batch(run, batch) if self.hooks.transfer_batch else batch
        return run.batch

    def forward(self, run: Run, batch: Any) -> None:
        """Set the output and the loss of *batch*."""
        call = self.hooks.run_forward or forward
        result = call(run, batch)
        try:
            run.output, run.loss = result if isinstance(result, tuple) else ()
        except ValueError:
            raise TypeError(no_pair(result, run)) from None

    def fire(self, hook: str, run: Run, *given: Any) -> None:
        """Call *hook* if anyone implements it."""
        call: Callable[..., Any] | None = getattr(self.hooks, hook)
        if call:
            call(run, *given)
