"""The metric store: takes values without looking at them, and reads all of them at once at a logging boundary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan
from operator import mul
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

Series = list[tuple["float | torch.Tensor", float]]  # (value, weight), in the order of logging


class MetricStore:
    """Collects logged values between two logging boundaries.

    A tensor on a device is kept there as it is, because reading it would make the host wait for every kernel before it.
    On the CPU there is nothing to wait for, and reading a number at once is cheaper than keeping a tensor.
    """

    def __init__(self) -> None:
        self._series: dict[str, Series] = {}

    def __bool__(self) -> bool:
        return bool(self._series)

    def add(self, name: str, value: float | torch.Tensor, weight: float = 1.0) -> None:
        """Keep *value*, a number or a tensor of one element, for the weighted mean of *name*.

        A tensor on a device must not be changed afterwards.
        """
        if not isinstance(value, (int, float)):
            value = value.item() if value.is_cpu else value.detach()
        try:
            series = self._series[name]
        except KeyError:
            series = self._series[name] = []
        series.append((value, weight))

    def discard(self, prefix: str) -> None:
        """Forget what was logged under names that begin with *prefix*."""
        self._series = {name: series for name, series in self._series.items() if not name.startswith(prefix)}

    def fetch(self) -> dict[str, float]:
        """Return the mean of each metric as a float and start anew; one copy from the device, whatever was logged."""
        series, self._series = self._series, {}
        return {name: weighted_mean(pairs) for name, pairs in on_host(series).items()}


def weighted_mean(pairs: Sequence[tuple[float, float]]) -> float:
    """Return the mean of values by their weights, given as pairs; NaN when nothing weighs anything."""
    values, weights = zip(*pairs, strict=True)
    total = sum(weights)
    return sum(map(mul, values, weights)) / total if total else nan


def on_host(series: Mapping[str, Series]) -> dict[str, list[tuple[float, float]]]:
    """Return *series* with each tensor read, by one copy for each device and dtype among them."""
    kinds: dict[tuple[torch.device, torch.dtype], list[torch.Tensor]] = {}
    for pairs in series.values():
        for value, _ in pairs:
            if not isinstance(value, (int, float)):
                kinds.setdefault((value.device, value.dtype), []).append(value.reshape(()))
    if not kinds:
        return dict(series)  # type: ignore[arg-type]  # nothing but numbers
    import torch

    copies = {kind: iter(torch.stack(tensors).tolist()) for kind, tensors in kinds.items()}
    return {
        name: [
            (value if isinstance(value, (int, float)) else next(copies[value.device, value.dtype]), weight)
            for value, weight in pairs
        ]
        for name, pairs in series.items()
    }
