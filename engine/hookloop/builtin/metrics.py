"""Computes the metrics that ``[metrics]`` names, on validation and test data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from math import prod
from typing import Any, Protocol, runtime_checkable

import torch

from hookloop.markers import hookimpl
from hookloop.run import Run
from hookloop.topology import existing_group

MAX_NUMBERS = 10_000  # of one metric: a curve with a point for each sample is for a file of its own

Total = int | float | torch.Tensor


@runtime_checkable
class Metric(Protocol):
    """What a metric is: anything with these three methods, those of torchmetrics among them."""

    def update(self, output: Any, target: Any) -> Any:
        """Take one batch in. Must not read a tensor on the host."""

    def compute(self) -> Any:
        """Return the value of all batches since the last reset: a number, a tensor, a mapping or sequence of such."""

    def reset(self) -> Any:
        """Forget all batches."""


class Averaged:
    """Makes a metric of a function ``(output, target) -> value``: its mean over batches, weighted by their samples."""

    def __init__(self, function: Callable[[Any, Any], float | torch.Tensor]) -> None:
        self.function = function
        self.total: float | torch.Tensor = 0.0
        self.samples = 0

    def update(self, output: Any, target: Any, samples: int = 1) -> None:
        """Add the value of one batch of *samples*."""
        value = self.function(output, target)
        self.total = self.total + (value.detach() if isinstance(value, torch.Tensor) else value) * samples
        self.samples += samples

    def compute(self) -> float | torch.Tensor:
        """Return the mean over the samples of all ranks; NaN for none."""
        total, samples = over_ranks(self.total, self.samples)
        return total / samples if samples else float("nan")

    def reset(self) -> None:
        """Start at zero."""
        self.total = 0.0
        self.samples = 0


class Accuracy:
    """The share of samples whose highest logit is at the target class.

    Output of shape ``(N, C, ...)`` with integer targets ``(N, ...)``; or output ``(N,)``, whose sign is compared with
    targets of 0 and 1. Counted on the device.
    """

    def __init__(self) -> None:
        self.correct: int | torch.Tensor = 0
        self.samples = 0

    def update(self, output: torch.Tensor, target: torch.Tensor) -> None:
        """Count one batch."""
        predicted = output.argmax(dim=1) if output.ndim > target.ndim else (output > 0).to(target.dtype)
        self.correct = self.correct + (predicted == target).sum()
        self.samples += target.numel()

    def compute(self) -> float | torch.Tensor:
        """Return the share of the samples of all ranks; NaN for none."""
        correct, samples = over_ranks(self.correct, self.samples)
        return correct / samples if samples else float("nan")

    def reset(self) -> None:
        """Start at zero."""
        self.correct = 0
        self.samples = 0


@contextmanager
def named(metric: str) -> Iterator[None]:
    """Put the name of *metric* on whatever its code raises."""
    try:
        yield
    except Exception as error:
        error.add_note(f"raised by the metric '{metric}'")
        raise


def over_ranks(total: Total, samples: int) -> tuple[Total, int]:
    """Return both, summed over all ranks; every rank has to call this. Waits for the device if there are several."""
    distributed = existing_group()
    if distributed is None or distributed.get_world_size() == 1:
        return total, samples
    parts: list[tuple[Total, int]] = [(0, 0)] * distributed.get_world_size()
    distributed.all_gather_object(parts, (total.cpu() if isinstance(total, torch.Tensor) else total, samples))
    return sum(each for each, _ in parts), sum(each for _, each in parts)


def numbers(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield *value* as named numbers: those of a mapping by key, those of a vector, matrix or sequence by index.

    One number keeps *name*; element (0, 1) of a matrix is ``NAME/0/1``. Raises ValueError for more than `MAX_NUMBERS`.
    """
    leaves = list(islice(named_parts(name, value), MAX_NUMBERS + 1))
    if len(leaves) > MAX_NUMBERS:
        raise ValueError(f"{name}: wanted {MAX_NUMBERS} numbers at most, got more: log a summary of them.")
    yield from leaves


def named_parts(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the parts of *value* that are no mapping, sequence or array of several elements, with their names."""
    if isinstance(value, Mapping):
        parts: Iterable[tuple[Any, Any]] = value.items()
    elif isinstance(value, (list, tuple)):
        parts = enumerate(value)
    elif len(shape := getattr(value, "shape", ())) and hasattr(value, "tolist"):
        # One copy from the device instead of one for each element.
        parts = [("", value.reshape(()))] if prod(shape) == 1 else enumerate(value.tolist())
    else:
        yield name, value
        return
    for key, part in parts:
        yield from named_parts(f"{name}/{key}" if key != "" else name, part)


class Metrics:
    """Updates every metric batch by batch and logs it once, as ``val/NAME`` or ``test/NAME``.

    Of a metric with several values, each is logged as ``val/NAME/KEY`` or ``val/NAME/INDEX``.
    """

    role = "observer"

    def __init__(self, metrics: Mapping[str, Metric]) -> None:
        self.metrics = metrics

    def start(self) -> None:
        """Reset every metric."""
        for metric in self.metrics.values():
            metric.reset()

    def update(self, run: Run, batch: Any) -> None:
        """Update every metric with one batch."""
        target = run.task.target(batch)
        for name, metric in self.metrics.items():
            with named(name):
                if isinstance(metric, Averaged):
                    metric.update(run.output, target, run.task.batch_size(batch))
                else:
                    metric.update(run.output, target)

    def finish(self, run: Run, prefix: str) -> None:
        """Log every metric under *prefix*."""
        for name, metric in self.metrics.items():
            with named(name):
                for each, value in numbers(f"{prefix}/{name}", metric.compute()):
                    run.log(each, value)

    @hookimpl
    def on_ready(self, run: Run) -> None:
        """Move metrics that have tensors of their own to the device."""
        for metric in self.metrics.values():
            if hasattr(metric, "to"):
                metric.to(run.device)

    @hookimpl
    def on_validation_start(self) -> None:
        """Forget the last validation."""
        self.start()

    @hookimpl
    def on_validation_batch_end(self, run: Run, batch: Any) -> None:
        """Take the batch in."""
        self.update(run, batch)

    @hookimpl
    def on_validation_end(self, run: Run) -> None:
        """Log every metric."""
        self.finish(run, "val")

    @hookimpl
    def on_test_start(self) -> None:
        """Forget the last test."""
        self.start()

    @hookimpl
    def on_test_batch_end(self, run: Run, batch: Any) -> None:
        """Take the batch in."""
        self.update(run, batch)

    @hookimpl
    def on_test_end(self, run: Run) -> None:
        """Log every metric."""
        self.finish(run, "test")
