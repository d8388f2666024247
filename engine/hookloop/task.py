"""What is trained: a `Task` joins a model, its data and its loss. Override of it what is unusual."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hookloop.batches import INPUT_NAMES, TARGET_NAMES, batch_size, pick
from hookloop.errors import ConfigError

if TYPE_CHECKING:
    from hookloop.run import Run, Stage


class Task:
    """The base of every task. A subclass sets ``model`` and overrides the loaders, and whatever else it needs.

    The engine sets ``run`` before anything is built, ``criterion`` to the loss that the configuration names, and
    replaces ``model`` by what the plugins' ``prepare_model`` made of it.
    """

    model: torch.nn.Module
    criterion: Callable[..., torch.Tensor] | None = None
    run: Run

    def train_loader(self) -> Iterable[Any] | None:
        """Return the training batches: any iterable that can be walked once an epoch."""
        return None

    def val_loader(self) -> Iterable[Any] | None:
        """Return the validation batches, or None to train without validation."""
        return None

    def test_loader(self) -> Iterable[Any] | None:
        """Return the batches of ``test``."""
        return None

    def predict_loader(self) -> Iterable[Any] | None:
        """Return the batches of ``predict``."""
        return None

    def optimizers(self) -> torch.optim.Optimizer | Sequence[torch.optim.Optimizer] | None:
        """Return one or several optimizers, or None to take the one that the configuration names."""
        return None

    def input(self, batch: Any) -> Any:
        """Return what of *batch* goes into the model: the first of a pair, or the member called input, x, image…"""
        return batch if isinstance(batch, torch.Tensor) else pick(batch, 0, INPUT_NAMES, "input")

    def target(self, batch: Any) -> Any:
        """Return what of *batch* the output is compared with: the second of a pair, or the member target, y, label…"""
        return pick(batch, 1, TARGET_NAMES, "target")

    def batch_size(self, batch: Any) -> int:
        """Return the samples in *batch*: its weight among accumulated micro-batches, and what ``run.samples`` counts.

        Override it to weigh by something else, such as tokens, together with a loss that is a mean over the same.
        """
        return batch_size(batch)

    def forward(self, batch: Any) -> Any:
        """Return the model's output for *batch*."""
        return self.model(self.input(batch))

    def loss(self, output: Any, batch: Any) -> torch.Tensor:
        """Return the mean loss over the samples of *batch*, a tensor of shape ``()``."""
        if self.criterion is None:
            raise ConfigError(f'no loss: give [loss] use = "cross_entropy", or override {type(self).__name__}.loss.')
        return self.criterion(output, self.target(batch))

    def train_step(self, batch: Any) -> tuple[Any, torch.Tensor]:
        """Return ``(output, loss)`` of one micro-batch; the engine does the backward pass and the update."""
        output = self.forward(batch)
        return output, self.loss(output, batch)

    def validation_step(self, batch: Any) -> tuple[Any, torch.Tensor | None]:
        """Return ``(output, loss)`` of one batch of validation or test, without gradients; the loss may be None."""
        output = self.forward(batch)
        return output, self.loss(output, batch)

    def predict_step(self, batch: Any) -> Any:
        """Return the prediction for one batch."""
        return self.forward(batch)


class SupervisedTask(Task):
    """A model and its batches of inputs and targets, with nothing unusual.

    Each of ``train``, ``val``, ``test`` and ``predict`` is any iterable of batches: a ``DataLoader``, a list, an object
    with ``__iter__``. A batch is an ``(input, target)`` pair, or a dict or dataclass with members of such names.
    """

    # The members of a pair are then taken directly: it is by far the most frequent batch, and this runs every step.
    _takes_pairs_apart = True

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        parts = ("input", "target", "forward", "loss")
        cls._takes_pairs_apart = all(getattr(cls, part) is getattr(Task, part) for part in parts)

    def __init__(
        self,
        model: torch.nn.Module,
        train: Iterable[Any] | None = None,
        val: Iterable[Any] | None = None,
        test: Iterable[Any] | None = None,
        predict: Iterable[Any] | None = None,
    ) -> None:
        self.model = model
        self._loaders = {"train": train, "validate": val, "test": test, "predict": predict}

    def train_loader(self) -> Iterable[Any] | None:
        """Return ``train``."""
        return self._loaders["train"]

    def val_loader(self) -> Iterable[Any] | None:
        """Return ``val``."""
        return self._loaders["validate"]

    def test_loader(self) -> Iterable[Any] | None:
        """Return ``test``."""
        return self._loaders["test"]

    def predict_loader(self) -> Iterable[Any] | None:
        """Return ``predict``."""
        return self._loaders["predict"]

    def train_step(self, batch: Any) -> tuple[Any, torch.Tensor]:
        """Return the model's output for the input of *batch*, and the criterion of it and the target."""
        if not self._takes_pairs_apart or self.criterion is None or type(batch) not in (tuple, list) or len(batch) < 2:
            return super().train_step(batch)
        output = self.model(batch[0])
        return output, self.criterion(output, batch[1])

    def batch_size(self, batch: Any) -> int:
        """Return the samples in *batch*."""
        if (type(batch) is tuple or type(batch) is list) and batch:
            first = batch[0]
            if type(first) is Tensor and first.dim():
                return first.size(0)
        return batch_size(batch)


LOADERS: dict[Stage, str] = {
    "train": "train_loader",
    "validate": "val_loader",
    "test": "test_loader",
    "predict": "predict_loader",
}
