"""Counts values in bins, on the device where they are: what is copied from there does not depend on how many."""

from __future__ import annotations

from dataclasses import dataclass

import torch

CHUNK = 1 << 24  # so many values are counted at a time: each needs some bytes more meanwhile


@dataclass(frozen=True)
class Histogram:
    """How many values lie up to each limit and above the one before; the first bin begins at the lowest value.

    ``left_out`` counts the values that are not finite.
    """

    lowest: float
    highest: float
    sum: float
    sum_squares: float
    limits: list[float]
    counts: list[float]
    left_out: int


def count(values: torch.Tensor, bins: int) -> Histogram | None:
    """Return the histogram of *values* in *bins* of equal width, or None when no value is finite."""
    flat = as_floats(values).reshape(-1)
    finite = flat[torch.isfinite(flat)]
    left_out = flat.numel() - finite.numel()
    if finite.numel() == 0:
        return None
    # Values are divided before they are subtracted or squared: the largest floats would be infinite else.
    ends = torch.stack([finite.min(), finite.max()]).tolist()
    lowest, highest = ends
    if lowest == highest:
        total = float(finite.numel())
        return Histogram(lowest, highest, total * lowest, total * lowest**2, [highest], [total], left_out)
    counted = torch.zeros(bins, dtype=torch.long, device=finite.device)
    sums = torch.zeros(2, dtype=finite.dtype, device=finite.device)
    for chunk in torch.split(finite, CHUNK):
        share = (chunk / 2 - lowest / 2) / (highest / 2 - lowest / 2)
        counted += torch.bincount((share * bins).long().clamp_(0, bins - 1), minlength=bins)
        sums += torch.stack([chunk.sum(), chunk.square().sum()])
    width = highest / bins - lowest / bins
    limits = [*(lowest + width * number for number in range(1, bins)), highest]
    total, squares = sums.tolist()
    return Histogram(lowest, highest, total, squares, limits, [float(n) for n in counted.tolist()], left_out)


def as_floats(values: torch.Tensor) -> torch.Tensor:
    """Return *values* as floats that can be counted: complex ones by their size, sparse ones without the zeros."""
    if values.layout != torch.strided:
        values = values.coalesce().values() if values.layout == torch.sparse_coo else values.values()
    if values.is_complex():
        values = values.abs()
    return values if values.dtype in (torch.float32, torch.float64) else values.float()
