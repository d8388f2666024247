"""The metric store: takes values without waiting for a device, and reads all of them at once at a logging boundary."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import nan
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

TRAIN_LOSS = "train/loss"

NOTHING: Mapping[str, Any] = MappingProxyType({})
FLOAT = frozenset((float,))
Gauge = Callable[[], Mapping[str, Any] | None]  # called at a logging boundary; may return what it logs


class MetricStore:
    """Collects logged values between two logging boundaries.

    A tensor on a device is kept there as it is, because reading it would make the host wait for every kernel before it.
    On the CPU there is nothing to wait for, and reading a number at once is cheaper than keeping a tensor.
    """

    def __init__(self) -> None:
        # Name → [weighted sum, weight] of what was logged since the last boundary. Lists and no objects of a class, as
        # they are made anew for each boundary, which may be each step.
        self._sums: dict[str, list[float]] = {}
        self._tensors: dict[str, list[tuple[torch.Tensor, float]]] = {}  # those that were not read yet
        # (loss, samples) of each micro-batch: the one metric of every step, which goes on a list as that is quickest.
        self.losses: list[tuple[Any, int]] = []  # a number, or a tensor on a device
        self.gauges: list[Gauge] = []  # each logs what is to be read at a logging boundary and never else

    def __bool__(self) -> bool:
        return bool(self._sums or self.losses)

    def fold(self) -> None:
        """Take `losses` into the mean of ``train/loss``; called often enough to keep the list short."""
        if not self.losses:
            return
        sums = self._sums.setdefault(TRAIN_LOSS, [0.0, 0.0])
        for loss, samples in self.losses:
            if type(loss) is float:
                sums[0] += loss * samples
                sums[1] += samples
            else:
                self._tensors.setdefault(TRAIN_LOSS, []).append((loss, samples))
        self.losses = []

    def add(self, name: str, value: float, weight: float = 1.0) -> None:
        """Take a number into the weighted mean of *name*."""
        sums = self._sums.get(name)
        if sums is None:
            self._sums[name] = [value * weight, weight]
        else:
            sums[0] += value * weight
            sums[1] += weight

    def add_tensor(self, name: str, tensor: torch.Tensor, weight: float = 1.0) -> None:
        """Take a tensor of one element; one on a device must not be changed before the next boundary."""
        if tensor.is_cpu:
            self.add(name, float(tensor.item()), weight)
        else:
            self._sums.setdefault(name, [0.0, 0.0])
            self._tensors.setdefault(name, []).append((tensor.detach(), weight))

    def state_dict(self) -> dict[str, list[float]]:
        """Return the sum and the weight of what was logged since the last boundary; reads what is on a device."""
        self.fold()
        self.read()
        return {name: list(sums) for name, sums in self._sums.items()}

    def load_state_dict(self, state: Mapping[str, Sequence[float]]) -> None:
        """Go on with the sums of *state*."""
        self.losses = []
        self._tensors = {}
        self._sums = {name: list(sums) for name, sums in state.items()}

    def discard(self, prefix: str) -> None:
        """Forget what was logged under names that begin with *prefix*."""
        self.fold()
        for kept in (self._sums, self._tensors):
            for name in [each for each in kept if each.startswith(prefix)]:
                del kept[name]

    def fetch(self) -> dict[str, float]:
        """Return the mean of each metric, the loss first, and start anew; one copy from a device in all."""
        metrics: dict[str, Any] = {}
        if len(self.losses) == 1 and not self._sums:  # as in each step where each is logged
            metrics[TRAIN_LOSS] = self.losses[0][0]
            self.losses = []
        else:
            self.fold()
        for gauge in self.gauges:
            if found := gauge():
                metrics.update(found)
        if self._sums or not FLOAT.issuperset(map(type, metrics.values())):
            return self.means(metrics)
        return metrics

    def means(self, more: Mapping[str, Any]) -> dict[str, float]:
        """Return the mean of each metric, the loss first, with what is in *more*, and start anew."""
        for name, value in more.items():
            if hasattr(value, "detach"):
                self.add_tensor(name, value)
            else:
                self.add(name, float(value))
        if self._tensors:
            self.read()
        sums, self._sums = self._sums, {}
        if TRAIN_LOSS in sums:
            sums = {TRAIN_LOSS: sums.pop(TRAIN_LOSS), **sums}
        return {name: total / weight if weight else nan for name, (total, weight) in sums.items()}

    def read(self) -> None:
        """Take the tensors on devices into their sums, with one copy for each device and dtype among them."""
        kinds: dict[tuple[torch.device, torch.dtype], list[tuple[str, torch.Tensor, float]]] = {}
        for name, tensors in self._tensors.items():
            for tensor, weight in tensors:
                kinds.setdefault((tensor.device, tensor.dtype), []).append((name, tensor.reshape(()), weight))
        for members in kinds.values():
            import torch

            numbers = torch.stack([tensor for _, tensor, _ in members]).tolist()
            for (name, _, weight), number in zip(members, numbers, strict=True):
                self.add(name, number, weight)
        self._tensors = {}
