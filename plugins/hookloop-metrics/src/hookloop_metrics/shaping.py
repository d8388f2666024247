"""Brings output and target into the form that torchmetrics wants; nothing here reads a tensor."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics.classification import MulticlassConfusionMatrix, MulticlassExactMatch, MulticlassStatScores

from hookloop_metrics.reading import class_axis, flat

Pair = tuple[Any, Any]

# They look for the largest of the scores, which is the same of logits, and exact.
COUNTS_LABELS = (MulticlassStatScores, MulticlassConfusionMatrix, MulticlassExactMatch)


def wide(output: Tensor) -> Tensor:
    """Return *output* in 32 bits at least: sums of many numbers are no use in 16."""
    return output.float() if output.dtype in (torch.float16, torch.bfloat16) else output


def for_binary(output: Tensor, target: Tensor, *, logits: bool) -> Pair:
    """Return the probabilities of the positive class, or labels, in the shape of the target, and whole targets."""
    axis = class_axis(output, target)
    if not output.is_floating_point():
        return output.reshape(target.shape), target.long()
    output = wide(output)
    if axis is not None and output.shape[axis] == 2:
        both = output.softmax(axis) if logits else output
        return both.select(axis, 1).reshape(target.shape), target.long()
    output = output.reshape(target.shape)
    return output.sigmoid() if logits else output, target.long()


def for_multilabel(output: Tensor, target: Tensor, *, logits: bool) -> Pair:
    """Return a probability, or a yes or no, for each label (N, L, ...), and whole targets."""
    if not output.is_floating_point():
        return output, target.long()
    output = wide(output)
    return output.sigmoid() if logits else output, target.long()


def for_multiclass(output: Tensor, target: Tensor, *, logits: bool, only_labels: bool) -> Pair:
    """Return scores (N, C, ...), or labels (N, ...), and whole targets (N, ...)."""
    axis = class_axis(output, target)
    if not output.is_floating_point():
        return output.reshape(flat(output)), target.reshape(flat(target)).long()
    output = wide(output)
    if axis is None:
        # Two classes by one number: that of the second.
        positive = (output.sigmoid() if logits else output).reshape(flat(output))
        return torch.stack((1 - positive, positive), dim=1), target.reshape(flat(target)).long()
    output = output.movedim(axis, 1)
    target = target.reshape(output.shape[:1] + output.shape[2:])
    return output.softmax(1) if logits and not only_labels else output, target.long()


def for_numbers(output: Any, target: Any) -> Pair:
    """Return two tensors of one shape where they differ by a dimension of one only; anything else as it is."""
    if not isinstance(output, Tensor) or not isinstance(target, Tensor):
        return output, target
    if output.shape != target.shape and flat(output) == flat(target):
        output, target = output.reshape(flat(output)), target.reshape(flat(target))
    return wide(output), wide(target)


def for_perplexity(output: Tensor, target: Tensor) -> Pair:
    """Return logits (N, T, V) and tokens (N, T); single tokens are a sequence, and V may stand second."""
    if output.ndim == 2:
        return wide(output).unsqueeze(0), target.reshape(1, -1)
    if output.shape[:-1] != target.shape:
        output = output.movedim(1, -1)
    return wide(output), target
