"""Ways to bound gradients that look at one unit, one parameter or one group at a time. Nothing is read on the host."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch


def norm_by_unit(tensor: torch.Tensor) -> torch.Tensor:
    """Return the Euclidean norm of each output unit of *tensor*, of shape (units, 1, …); of a vector, its one norm."""
    if tensor.ndim <= 1:
        whole: torch.Tensor = torch.linalg.vector_norm(tensor)
        return whole
    norms: torch.Tensor = torch.linalg.vector_norm(tensor, dim=tuple(range(1, tensor.ndim)), keepdim=True)
    return norms


@torch.no_grad()
def clip_adaptively(parameters: Iterable[torch.nn.Parameter], threshold: float, minimum_norm: float) -> None:
    """Scale the gradient of each unit so that its norm is at most *threshold* times that of the unit's weights.

    Adaptive gradient clipping (Brock et al., 2021): G ← λ · max(‖W‖, ε) / ‖G‖ · G where ‖G‖ / max(‖W‖, ε) > λ.
    """
    for each in parameters:
        if each.grad is None:
            continue
        largest = norm_by_unit(each.detach()).clamp_(min=minimum_norm).mul_(threshold)
        norm = norm_by_unit(each.grad)
        # Where nothing is clipped the factor is exactly 1, so that those gradients keep every bit.
        each.grad.mul_(torch.where(norm > largest, largest / norm, torch.ones_like(norm)))


def clip_each(parameters: Iterable[torch.nn.Parameter], threshold: float) -> None:
    """Scale each gradient so that its norm is at most *threshold*."""
    for each in parameters:
        torch.nn.utils.clip_grad_norm_([each], threshold)


def clip_groups(groups: Iterable[Sequence[torch.nn.Parameter]], threshold: float) -> None:
    """Scale the gradients of each group together so that their norm is at most *threshold*."""
    for group in groups:
        torch.nn.utils.clip_grad_norm_(group, threshold)
