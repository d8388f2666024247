"""Losses of overlap, for segments and masks: how much of what is there was found, and of what was found is there.

Output (N, C, ...) with class numbers (N, ...), of which ``ignore_index`` counts for nothing, where each class is a
mask; or scores of one mask a sample, output and target of equal shapes. Scores are before softmax or sigmoid.
``weight`` has one number a sample or an element. Half precision is computed in float32.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hookloop import ConfigError
from hookloop_losses.checks import checked_reduction, choice, class_scores, number, whole
from hookloop_losses.logits import finite, heed
from hookloop_losses.reducing import reduce, spread, without

PER = ("sample", "batch")


class Tversky(nn.Module):
    """L = 1 − (TP + s) / (TP + α·FP + β·FN + s), of each mask. Salehi et al. (2017), *Tversky loss function for image
    segmentation*.

    TP = Σ p·t, FP = Σ p·(1 − t), FN = Σ (1 − p)·t for probabilities p and targets t. α = β = 0.5 is the Dice loss,
    α = β = 1 that of Jaccard; β > α makes what was missed cost more than what was made up.

    Args:
        alpha: α, 0 or more. beta: β, 0 or more; not both 0.
        smooth: s, 0 or more, in elements. It keeps a mask that is empty from being all or nothing. With 0, a mask that
        is
            empty in the target and in the prediction is a loss of 0.
        per: ``"sample"`` for the masks of each sample by themselves, ``"batch"`` for sums over the batch.
        ignore_index: the class number that counts for nothing.
        reduction: ``"mean"`` or ``"sum"`` over masks, or ``"none"``: (N, C), or (C,) of a batch; with one mask a sample
            (N,), or ().
    """

    def __init__(
        self,
        alpha: float = 0.3,
        beta: float = 0.7,
        smooth: float = 1.0,
        per: str = "sample",
        ignore_index: int = -100,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        self.alpha = number("alpha", alpha, least=0)
        self.beta = number("beta", beta, least=0)
        if not self.alpha + self.beta:
            raise ConfigError("alpha: got 0, and beta as well, which is no loss: one of them must be more.")
        self.smooth = number("smooth", smooth, least=0)
        self.per = choice("per", per, PER)
        self.ignore_index = whole("ignore_index", ignore_index)
        self.reduction = checked_reduction(reduction)

    def forward(self, output: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return the loss."""
        p, t, weight = masks(output, target, weight, self.ignore_index)
        values = overlap(p, t, weight, self.per, self.alpha, self.beta, self.smooth)
        return reduce(values, self.reduction)


class Dice(nn.Module):
    """L = 1 − (2·Σ p·t + s) / (Σ p + Σ t + s), of each mask. Milletari et al. (2016), *V-Net*, with sums that are not
    squared, as in Sudre et al. (2017), *Generalised Dice overlap*.

    Args:
        smooth, per, ignore_index, reduction: as of `Tversky`.
    """

    def __init__(
        self, smooth: float = 1.0, per: str = "sample", ignore_index: int = -100, reduction: str = "mean"
    ) -> None:
        super().__init__()
        self.smooth = number("smooth", smooth, least=0)
        self.per = choice("per", per, PER)
        self.ignore_index = whole("ignore_index", ignore_index)
        self.reduction = checked_reduction(reduction)

    def forward(self, output: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return the loss."""
        p, t, weight = masks(output, target, weight, self.ignore_index)
        return reduce(overlap(p, t, weight, self.per, 0.5, 0.5, self.smooth / 2), self.reduction)


def masks(
    output: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return probabilities and targets, (N, C, elements) or (N, elements), and None or a weight that is broadcast to
    them.

    Raises LossError for shapes that do not fit.
    """
    if not class_scores(output, target):
        t = target.to(finite(output).dtype)
        each = None if weight is None else spread(weight, target.shape)
        p = without(finite(output), each).sigmoid()
        return laid_flat(p, 1), laid_flat(t, 1), None if each is None else laid_flat(each, 1)
    target, each = heed(target.long(), weight, ignore_index)
    p = torch.where((each == 0).unsqueeze(1), 0.0, finite(output)).softmax(1)
    numbers = torch.arange(output.shape[1], device=output.device).reshape(-1, *(1,) * (output.ndim - 2))
    t = (target.unsqueeze(1) == numbers).to(p.dtype)
    return laid_flat(p, 2), laid_flat(t, 2), laid_flat(each.unsqueeze(1), 2)


def laid_flat(values: Tensor, start: int) -> Tensor:
    """Return *values* with the dimensions from *start* on as one; one of a single element where there are none."""
    return values.flatten(start) if values.ndim > start else values.unsqueeze(start)


def overlap(p: Tensor, t: Tensor, weight: Tensor | None, per: str, alpha: float, beta: float, smooth: float) -> Tensor:
    """Return the Tversky loss of each mask: (N, C) or (N,) per sample, (C,) or () per batch."""
    weighted = t if weight is None else torch.where(weight == 0, 0.0, t * weight.to(t.dtype))
    said = p if weight is None else torch.where(weight == 0, 0.0, p * weight.to(p.dtype))
    summed = (0, -1) if per == "batch" else (-1,)
    true_positive = (p * weighted).sum(summed)
    false_positive = said.sum(summed) - true_positive
    false_negative = weighted.sum(summed) - true_positive
    union = true_positive + alpha * false_positive + beta * false_negative + smooth
    empty = union == 0
    return torch.where(empty, 0.0, 1 - (true_positive + smooth) / torch.where(empty, 1.0, union))
