"""Watches numbers for the first that is NaN or infinite, without waiting for the device that they are on."""

from __future__ import annotations

import functools
import math
from array import array
from dataclasses import dataclass

import torch

FOLDED = 1000  # so many tensors are kept at most
NEVER = 2**62


@dataclass(frozen=True)
class Place:
    """Where in a run something was: ``number`` counts what was watched, ``step`` and ``batch`` count from 1."""

    number: int
    step: int
    batch: int

    def __str__(self) -> str:
        return f"in step {self.step} (micro-batch {self.batch} of its epoch)"


class Watch:
    """Keeps scalars on their device as they come, which takes no kernel, and judges many of them at once.

    `count` is a tensor, for others to read together with theirs; only `first` reads anything itself. Numbers on the
    host are judged one by one instead, by `judge`, and counted by `take`.
    """

    def __init__(self) -> None:
        self.number = 0
        self.taken = self.bad_numbers = 0
        self.forget()

    def forget(self) -> None:
        """Begin anew: what was watched so far has been judged."""
        self.begun = self.number
        self.steps, self.batches = array("q"), array("q")
        self.values: list[torch.Tensor] = []
        self.bad: torch.Tensor | None = None
        self.earliest: torch.Tensor | None = None

    def add(self, value: torch.Tensor, step: int, batch: int) -> Place:
        """Watch *value*, a tensor of one element, of *step* and *batch*; return where that is."""
        self.values.append(value)
        self.steps.append(step)
        self.batches.append(batch)
        self.number += 1
        if len(self.values) >= FOLDED:
            self.fold()
        return Place(self.number - 1, step, batch)

    def judge(self, value: float, step: int, batch: int) -> Place | None:
        """Judge *value* at once; return where that is if it is not finite."""
        self.number += 1
        if math.isfinite(value):
            return None
        self.bad_numbers += 1
        return Place(self.number - 1, step, batch)

    def take(self) -> float | None:
        """Return how many of the numbers since the last time were not finite; None when nothing was judged."""
        count = None if self.number == self.taken else float(self.bad_numbers)
        self.taken, self.bad_numbers = self.number, 0
        return count

    @torch.no_grad()
    def fold(self) -> None:
        """Judge what was kept, on its device."""
        if not self.values:
            return
        bad = ~torch.stack([each.detach().reshape(()) for each in self.values]).isfinite()
        start = self.number - len(self.values)
        numbers = torch.arange(start, self.number, device=bad.device)
        earliest = torch.where(bad, numbers, NEVER).amin()
        self.bad = bad.sum() if self.bad is None else self.bad + bad.sum()
        self.earliest = earliest if self.earliest is None else torch.minimum(self.earliest, earliest)
        self.values = []

    def count(self) -> torch.Tensor | None:
        """Return how many were not finite since `forget`, on the device; None when nothing was watched."""
        self.fold()
        return self.bad

    def first(self) -> Place | None:
        """Return where the first was since `forget`, or None. This reads from the device."""
        self.fold()
        number = NEVER if self.earliest is None else int(self.earliest.item())
        if number == NEVER:
            return None
        index = number - self.begun
        return Place(number, self.steps[index], self.batches[index])


def largest(tensors: list[torch.Tensor]) -> torch.Tensor | None:
    """Return the largest absolute value in *tensors*, which is finite only if all of them are, on their device."""
    full = [each for each in tensors if each.numel()]
    if not full:
        return None
    norms = torch._foreach_norm(full, ord=float("inf"))
    dtype = functools.reduce(torch.promote_types, {each.dtype for each in norms})
    return torch.stack([each.to(dtype) for each in norms]).amax()
