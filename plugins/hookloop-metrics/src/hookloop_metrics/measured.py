"""A metric of torchmetrics as the engine knows metrics: built when the first batch has told what it is about."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torchmetrics

from hookloop import ConfigError
from hookloop_metrics import shaping
from hookloop_metrics.counting import CountingOnDevice
from hookloop_metrics.reading import Reading, described, flat, read
from hookloop_metrics.variants import COUNTS, Class, Variants, parameters_of

log = logging.getLogger("hookloop.metrics")

FLATTENING = ("MeanSquaredError", "MeanAbsoluteError", "NormalizedRootMeanSquaredError")  # several outputs, one mean


class Measured:
    """Hands each batch to a metric of torchmetrics, in the form that it wants.

    Args:
        variants: the classes that take the options; which it is, the first batch tells if there are several.
        options: those of the class.
        output: ``"logits"`` or ``"probabilities"``, what the model gives.
        told: whether the user said so.
    """

    def __init__(self, variants: Variants, options: Mapping[str, Any], output: str, *, told: bool) -> None:
        self.variants = variants
        self.options = options
        self.logits = output == "logits"
        self.watches = self.logits and not told  # whether they look like probabilities all the same
        self.outside: torch.Tensor | None = None
        self.device: torch.device | None = None
        self.task = ""
        self.metric: torchmetrics.Metric | None = None

    def to(self, device: torch.device) -> None:
        """Keep on *device* what is counted."""
        self.device = device
        if self.metric is not None:
            self.metric.to(device)

    def update(self, output: Any, target: Any) -> None:
        """Take one batch in; ConfigError when the first one does not suit the options. Only that one is read."""
        if self.metric is None:
            self.begin(output, target)
            return
        with self.counting():
            self.metric.update(*self.shaped(output, target))
        self.watch(output)

    def compute(self) -> Any:
        """Return the value of all batches of all ranks; NaN for none. torchmetrics adds up over a process group."""
        if self.metric is None:
            return float("nan")
        self.tell_what_was_watched()
        return self.metric.compute()

    def reset(self) -> None:
        """Forget all batches, but not what kind they were of."""
        if self.metric is not None:
            self.metric.reset()

    def begin(self, output: Any, target: Any) -> None:
        """Build the metric for what the first batch is, and have torchmetrics look whether its values are possible."""
        reading = self.reading(output, target)
        kind = self.variants.classes[reading.task]
        options = self.completed(kind, reading, output)
        self.task = reading.task
        try:
            metric = kind(**options)
            if self.device is not None:
                metric.to(self.device)
            self.metric = metric
            self.first(metric, output, target)
        except (TypeError, ValueError, RuntimeError) as error:
            self.metric = None
            raise ConfigError(f"{self.misfit(output, target)}: {error}") from error
        self.watch(output)

    def first(self, metric: torchmetrics.Metric, output: Any, target: Any) -> None:
        """Take the first batch in, with its values checked; the others are taken on trust, as a check reads them."""
        checks = "validate_args" in vars(metric) and "validate_args" not in self.options
        if getattr(target, "is_meta", False):
            metric.validate_args = not checks  # there is nothing to look at
        elif self.variants.by_task:
            self.check(output, target)
        with self.counting():
            metric.update(*self.shaped(output, target, metric))
        if checks:
            metric.validate_args = False

    def check(self, output: torch.Tensor, target: torch.Tensor) -> None:
        """Raise ValueError for what torchmetrics would make something else of."""
        if target.is_floating_point() and bool((target % 1 != 0).any()):
            raise ValueError("targets must be whole numbers")
        if not self.logits and output.is_floating_point() and bool(((output < 0) | (output > 1)).any()):
            raise ValueError("probabilities must lie between 0 and 1")

    def reading(self, output: Any, target: Any) -> Reading:
        """Return how to read a batch like this one; ConfigError when no class is there for what it is."""
        if not self.variants.by_task:
            return Reading("")
        tasks = tuple(self.variants.classes)
        count = next((self.options[each] for each in COUNTS.values() if self.options.get(each) is not None), None)
        reading = read(output, target, tasks[0] if len(tasks) == 1 else None, count)
        if reading.task not in tasks:
            names = ", ".join(f"`{each}`" for each in self.options) or "these options"
            raise ConfigError(
                f"{described(output, target)} is '{reading.task}', and {self.variants.name} with {names} is for "
                f"{' or '.join(tasks)}. Give task, or take out what does not belong."
            )
        return reading

    def completed(self, kind: Class, reading: Reading, output: Any) -> dict[str, Any]:
        """Return the options, with what the first batch told."""
        taken, options = parameters_of(kind), dict(self.options)
        if reading.task in COUNTS and reading.count is not None:
            options[COUNTS[reading.task]] = reading.count
        if self.variants.name == "Accuracy" and reading.task == "multiclass":
            options.setdefault("average", "micro")  # the share of right answers is what everybody calls accuracy
        several = isinstance(output, torch.Tensor) and len(flat(output)) == 2
        if "num_outputs" in taken and several and self.variants.name not in FLATTENING:
            options.setdefault("num_outputs", output.shape[1])
        return options

    def shaped(self, output: Any, target: Any, metric: torchmetrics.Metric | None = None) -> shaping.Pair:
        """Return the batch in the form that the metric wants."""
        if self.task == "binary":
            return shaping.for_binary(output, target, logits=self.logits)
        if self.task == "multilabel":
            return shaping.for_multilabel(output, target, logits=self.logits)
        if self.task == "multiclass":
            only_labels = isinstance(metric or self.metric, shaping.COUNTS_LABELS)
            return shaping.for_multiclass(output, target, logits=self.logits, only_labels=only_labels)
        if self.variants.name == "Perplexity":
            return shaping.for_perplexity(output, target)
        return shaping.for_numbers(output, target)

    def counting(self) -> AbstractContextManager[Any]:
        """Return the context to update in; on the CPU there is nothing to wait for."""
        return nullcontext() if self.device is None or self.device.type == "cpu" else CountingOnDevice()

    def watch(self, output: Any) -> None:
        """Note, on the device, whether what is taken for logits ever leaves 0 to 1."""
        if self.watches and self.task in ("binary", "multilabel") and output.is_floating_point():
            outside = ((output < 0) | (output > 1)).any()
            self.outside = outside if self.outside is None else self.outside | outside

    def tell_what_was_watched(self) -> None:
        """Warn, after the first evaluation only, when all logits lay between 0 and 1."""
        if self.outside is not None and not self.outside.is_meta and not self.outside.item():
            log.warning(
                "%s takes the model's output for logits, and all of it lies between 0 and 1. If it is probabilities, "
                "write output = 'probabilities' in the metric's table; if not, output = 'logits' ends this warning.",
                self.variants.name,
            )
        self.watches, self.outside = False, None

    def misfit(self, output: Any, target: Any) -> str:
        """Return the beginning of an error about the first batch."""
        if not isinstance(output, torch.Tensor) or not isinstance(target, torch.Tensor):
            return f"{self.variants.name} does not suit the first batch"
        read_as = f", read as {self.task}" if self.task else ""
        return f"{self.variants.name} does not suit {described(output, target)}{read_as}"
