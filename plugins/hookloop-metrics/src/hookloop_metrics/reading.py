"""Tells from the first batch which task it is and how many classes there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from hookloop import ConfigError


@dataclass(frozen=True)
class Reading:
    """What a batch is read as: the task, and how many classes or labels there are."""

    task: str
    count: int | None = None


def read(output: Any, target: Any, task: str | None, count: int | None) -> Reading:
    """Return how to read a batch; *task* and *count* are what the table says, or None.

    ConfigError when the shapes do not tell, or contradict the table.
    """
    if not isinstance(output, Tensor) or not isinstance(target, Tensor):
        raise ConfigError(
            f"wants an output and a target that are tensors, got {type(output).__name__} and {type(target).__name__}. "
            "What a metric is given is what the task's validation_step returns as output, and its target(batch)."
        )
    seen = by_shape(output, target, task)
    if task is not None and not (task == seen.task or can_be_read_as(task, seen, count)):
        raise ConfigError(f"task = '{task}' does not suit {described(output, target)}.")
    if task not in (None, seen.task):
        return Reading(str(task), 2 if task == "multiclass" else None)
    if None not in (count, seen.count) and count != seen.count:
        raise ConfigError(f"{count} classes or labels do not suit {described(output, target)}: {seen.count}.")
    if seen.task != "binary" and seen.count is None and count is None:
        raise ConfigError(
            f"{described(output, target)}: labels do not tell how many there are. Give num_classes or num_labels."
        )
    return Reading(seen.task, count or seen.count)


def can_be_read_as(task: str, seen: Reading, count: int | None) -> bool:
    """Return whether two classes are given in the other of their two forms."""
    return (task == "binary" and seen == Reading("multiclass", 2)) or (
        task == "multiclass" and seen.task == "binary" and count == 2
    )


def by_shape(output: Tensor, target: Tensor, task: str | None) -> Reading:
    """Return what the shapes of *output* and *target* say."""
    axis = class_axis(output, target)
    if axis is not None:
        classes = output.shape[axis]
        return Reading("binary") if classes == 1 else Reading("multiclass", classes)
    if flat(output) != flat(target):
        raise ConfigError(
            f"{described(output, target)}: for classes, the output is (N, C, ...) and the target (N, ...); for yes or "
            "no, both have one shape."
        )
    if task == "binary" or len(flat(output)) == 1:
        return Reading("multiclass") if task == "multiclass" and not output.is_floating_point() else Reading("binary")
    return by_same_shape(output, target, task)


def by_same_shape(output: Tensor, target: Tensor, task: str | None) -> Reading:
    """Return what an output and a target of the same shape, of two and more dimensions, say."""
    if not output.is_floating_point() and task is None:
        raise ConfigError(f"{described(output, target)}: labels do not tell the task. Give task, and how many.")
    if task == "multiclass":
        return Reading("binary" if output.is_floating_point() else "multiclass")
    if output.ndim > 2 and task is None and output.shape[1] > 1:
        raise ConfigError(f"{described(output, target)}: this is 'binary' or 'multilabel'. Give task.")
    return Reading("binary") if output.shape[1] == 1 and task is None else Reading("multilabel", output.shape[1])


def class_axis(output: Tensor, target: Tensor) -> int | None:
    """Return the dimension of *output* that holds the classes: 1 as in torch's losses, else the last; or None."""
    if not output.is_floating_point() or output.ndim < 2:
        return None
    shape, wanted = tuple(output.shape), tuple(target.shape)
    if shape[:1] + shape[2:] == wanted:
        return 1
    if shape[:-1] == wanted:
        return output.ndim - 1
    # A column of class numbers beside a row of logits for each sample.
    return 1 if len(shape) == 2 and wanted == (shape[0], 1) and shape[1] > 1 else None


def flat(tensor: Tensor) -> tuple[int, ...]:
    """Return the shape of *tensor*; one of (N, 1) is (N,)."""
    shape = tuple(tensor.shape)
    return shape[:1] if len(shape) == 2 and shape[1] == 1 else shape


def described(output: Tensor, target: Tensor) -> str:
    """Return what a batch looks like."""
    return f"output {tuple(output.shape)} of {plain(output)} with target {tuple(target.shape)} of {plain(target)}"


def plain(tensor: Tensor) -> str:
    """Return the type of the numbers in *tensor*."""
    return str(tensor.dtype).removeprefix("torch.")
