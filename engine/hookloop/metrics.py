"""The metric store: takes values without waiting for a device, and reads all of them at once at a logging boundary."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import nan
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

TRAIN_LOSS = "train/loss"


class Series:
    """What was logged under one name since the last boundary: weighted sums of numbers, and tensors not yet read."""

    __slots__ = ("tensors", "total", "weight")

    def __init__(self) -> None:
        self.total = 0.0
        self.weight = 0.0
        self.tensors: list[tuple[torch.Tensor, float]] = []

    def mean(self) -> float:
        """Return the weighted mean; NaN when nothing weighs anything."""
        return self.total / self.weight if self.weight else nan


class MetricStore:
    """Collects logged values between two logging boundaries.

    A tensor on a device is kept there as it is, because reading it would make the host wait for every kernel before it.
    On the CPU there is nothing to wait for, and reading a number at once is cheaper than keeping a tensor.
    """

    def __init__(self) -> None:
        self._series: dict[str, Series] = {}
        # (loss, samples) of each micro-batch: the one metric of every step, which goes on a list as that is quickest.
        self.losses: list[tuple[Any, int]] = []  # a number, or a tensor on a device
        self.gauges: list[Callable[[], None]] = []  # each logs what is to be read at a logging boundary and never else

    def __bool__(self) -> bool:
        return bool(self._series or self.losses)

    def fold(self) -> None:
        """Take `losses` into the mean of ``train/loss``; called often enough to keep the list short."""
        if not self.losses:
            return
        series = self._series.setdefault(TRAIN_LOSS, Series())
        for loss, samples in self.losses:
            if type(loss) is float:
                series.total += loss * samples
                series.weight += samples
            else:
                series.tensors.append((loss, samples))
        self.losses = []

    def add(self, name: str, value: float, weight: float = 1.0) -> None:
        """Take a number into the weighted mean of *name*."""
        try:
            series = self._series[name]
        except KeyError:
            series = self._series[name] = Series()
        series.total += value * weight
        series.weight += weight

    def add_tensor(self, name: str, tensor: torch.Tensor, weight: float = 1.0) -> None:
        """Take a tensor of one element; one on a device must not be changed before the next boundary."""
        try:
            series = self._series[name]
        except KeyError:
            series = self._series[name] = Series()
        if tensor.is_cpu:
            series.total += tensor.item() * weight
            series.weight += weight
        else:
            series.tensors.append((tensor.detach(), weight))

    def state_dict(self) -> dict[str, list[float]]:
        """Return the sum and the weight of what was logged since the last boundary; reads what is on a device."""
        self.fold()
        read_tensors(each for each in self._series.values() if each.tensors)
        return {name: [each.total, each.weight] for name, each in self._series.items()}

    def load_state_dict(self, state: Mapping[str, Sequence[float]]) -> None:
        """Go on with the sums of *state*."""
        self.losses = []
        self._series = {}
        for name, (total, weight) in state.items():
            series = self._series[name] = Series()
            series.total, series.weight = total, weight

    def discard(self, prefix: str) -> None:
        """Forget what was logged under names that begin with *prefix*."""
        self.fold()
        self._series = {name: series for name, series in self._series.items() if not name.startswith(prefix)}

    def fetch(self) -> dict[str, float]:
        """Return the mean of each metric, the loss first, and start anew; one copy from a device in all."""
        self.fold()
        for gauge in self.gauges:
            gauge()
        series, self._series = self._series, {}
        if TRAIN_LOSS in series:
            series = {TRAIN_LOSS: series.pop(TRAIN_LOSS), **series}
        read_tensors(each for each in series.values() if each.tensors)
        return {name: each.mean() for name, each in series.items()}


def read_tensors(unread: Iterable[Series]) -> None:
    """Add the tensors of *unread* to their sums, with one copy for each device and dtype among them."""
    kinds: dict[tuple[torch.device, torch.dtype], list[tuple[Series, torch.Tensor, float]]] = {}
    for series in unread:
        for tensor, weight in series.tensors:
            kinds.setdefault((tensor.device, tensor.dtype), []).append((series, tensor.reshape(()), weight))
    for members in kinds.values():
        import torch

        numbers = torch.stack([tensor for _, tensor, _ in members]).tolist()
        for (series, _, weight), number in zip(members, numbers, strict=True):
            series.total += number * weight
            series.weight += weight
            series.tensors = []
