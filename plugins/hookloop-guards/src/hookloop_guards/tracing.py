"""Finds the module in which the first NaN or infinity came up, by forward hooks that read nothing."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from hookloop_guards.finite import NEVER

CALLS = 2**20  # more than a forward pass has calls of modules


class ModuleTrace:
    """Marks each module, on the device, with the first call whose output was not finite.

    A module within another is called to its end first, so of a whole chain the innermost is the first.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model
        self.names: list[str] = []
        self.marks: list[torch.Tensor | None] = []
        self.handles: list[Any] = []
        self.watching = False
        self.number = self.calls = 0

    def attach(self) -> None:
        """Listen to every module."""
        for name, module in self.model.named_modules():
            hook = functools.partial(self.called, len(self.names))
            self.handles.append(module.register_forward_hook(hook))
            self.names.append(name or type(module).__name__)
            self.marks.append(None)

    def detach(self) -> None:
        """Listen no more."""
        for each in self.handles:
            each.remove()
        self.handles = []

    def begin(self, number: int) -> None:
        """Watch the forward pass with this *number*."""
        self.watching, self.number, self.calls = True, number, 0

    def end(self) -> None:
        """Watch nothing until the next."""
        self.watching = False

    @torch.no_grad()
    def called(self, index: int, _module: torch.nn.Module, _given: Any, output: Any) -> None:
        """Take the output of a module in."""
        if not self.watching:
            return
        call = self.number * CALLS + self.calls
        self.calls += 1
        for each in floats_in(output):
            mark = torch.where(each.detach().isfinite().all(), NEVER, call)
            before = self.marks[index]
            self.marks[index] = mark if before is None else torch.minimum(before, mark)

    def first(self, number: int) -> str | None:
        """Return the name of the first module that went wrong in the forward pass *number*; reads from the device."""
        marked = [(name, mark) for name, mark in zip(self.names, self.marks, strict=True) if mark is not None]
        if not marked:
            return None
        calls = torch.stack([mark for _, mark in marked]).tolist()
        found = [(call, name) for call, (name, _) in zip(calls, marked, strict=True) if call // CALLS == number]
        return min(found)[1] if found else None

    def forget(self) -> None:
        """Begin anew."""
        self.marks = [None] * len(self.marks)


def floats_in(output: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors of floating-point numbers in what a module has returned."""
    if isinstance(output, torch.Tensor):
        if output.is_floating_point() or output.is_complex():
            yield output
    elif isinstance(output, Mapping):
        for each in output.values():
            yield from floats_in(each)
    elif isinstance(output, (tuple, list)):
        for each in output:
            yield from floats_in(each)
