"""Computes the metrics that ``[metrics]`` names, on validation and test data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import torch

from hookloop.markers import hookimpl
from hookloop.run import Run


@runtime_checkable
class Metric(Protocol):
    """What a metric is: anything with these three methods, those of torchmetrics among them."""

    def update(self, output: Any, target: Any) -> Any:
        """Take one batch in. Must not read a tensor on the host."""

    def compute(self) -> Any:
        """Return the value of all batches since the last reset, a number or a tensor of one element."""

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
        """Return the mean; NaN for no samples."""
        return self.total / self.samples if self.samples else float("nan")

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
        """Return the share; NaN for no samples."""
        return self.correct / self.samples if self.samples else float("nan")

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


class Metrics:
    """Updates every metric batch by batch and logs it once, as ``val/NAME`` or ``test/NAME``."""

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
                run.log(f"{prefix}/{name}", metric.compute())

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
