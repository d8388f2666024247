"""What a model is made of: its modules, what they hold, and the shapes that go in and out."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Row:
    """One module with all that is in it. Shapes and operations are None where it was not called.

    Attributes:
        uninitialized: how many of its parameters have no shape yet; they are not among ``parameters`` and ``bytes``.
    """

    name: str
    type: str
    depth: int
    input: str | None
    output: str | None
    parameters: int
    trainable: int
    bytes: int
    uninitialized: int
    flops: int | None


class Shapes:
    """Takes down what goes into each module and out of it the first time, by hooks that read nothing."""

    def __init__(self) -> None:
        self.seen: dict[str, tuple[str, str]] = {}
        self.handles: list[Any] = []

    def attach(self, model: torch.nn.Module) -> None:
        """Listen to each module of *model*."""
        for name, module in model.named_modules():
            self.handles.append(module.register_forward_hook(functools.partial(self.called, name)))

    def called(self, name: str, _module: torch.nn.Module, given: Any, output: Any) -> None:
        """Take down one call."""
        self.seen.setdefault(name, (shape_of(given), shape_of(output)))

    def detach(self) -> None:
        """Listen no more."""
        for each in self.handles:
            each.remove()
        self.handles = []


def shape_of(value: Any) -> str:
    """Return the shapes of the tensors in *value*, as text."""
    if isinstance(value, torch.Tensor):
        return "×".join(map(str, value.shape)) or "number"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {shape_of(each)}" for key, each in value.items()) + "}"
    if isinstance(value, (tuple, list)):
        parts = [shape_of(each) for each in value]
        return parts[0] if len(parts) == 1 else "(" + ", ".join(parts) + ")"
    return type(value).__name__


def is_compiled(model: torch.nn.Module) -> bool:
    """Return whether a part of *model* is compiled: to look at its first step would keep it from being compiled."""
    marks = ("_orig_mod", "_compiled_call_impl")
    return any(getattr(each, mark, None) is not None for each in model.modules() for mark in marks)


def rows_of(
    model: torch.nn.Module, shapes: Mapping[str, tuple[str, str]], flops: Mapping[str, int], max_depth: int | None
) -> list[Row]:
    """Return a row for each module down to *max_depth*, the model itself first; what is shared counts once in each."""
    found = []
    for name, module in model.named_modules():
        depth = name.count(".") + 1 if name else 0
        if max_depth is None or depth <= max_depth:
            given, output = shapes.get(name, (None, None))
            found.append(Row(name, type(module).__name__, depth, given, output, *held(module), flops.get(name)))
    return found


def held(module: torch.nn.Module) -> tuple[int, int, int, int]:
    """Return the parameters of *module*, how many are trained, bytes with buffers, and how many have no shape yet."""
    parameters = [each for each in module.parameters() if not is_lazy(each)]
    tensors = [*parameters, *(each for each in module.buffers() if not is_lazy(each))]
    return (
        sum(each.numel() for each in parameters),
        sum(each.numel() for each in parameters if each.requires_grad),
        sum(each.numel() * each.element_size() for each in tensors),
        sum(map(is_lazy, module.parameters())),
    )


def is_lazy(tensor: torch.Tensor) -> bool:
    """Return whether *tensor* has no shape yet."""
    return torch.nn.parameter.is_lazy(tensor)


HEAD = ("module", "type", "input", "output", "parameters", "trained", "bytes", "FLOPs")


def table(rows: Sequence[Row]) -> str:
    """Return *rows* as text, indented by depth."""
    lines = [HEAD, *(cells(each) for each in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    return "\n".join("  ".join(aligned(line, widths)).rstrip() for line in lines) + "\n"


def cells(row: Row) -> tuple[str, ...]:
    """Return what stands in the columns of *row*."""
    name = "  " * row.depth + (row.name.rpartition(".")[2] or "(model)")
    counts = [f"{each:,}" for each in (row.parameters, row.trainable, row.bytes)]
    if row.uninitialized:
        counts[0] += f" + {row.uninitialized} without shape"
    return (
        name,
        row.type,
        row.input or "-",
        row.output or "-",
        *counts,
        "-" if row.flops is None else f"{row.flops:,}",
    )


def aligned(line: Iterable[str], widths: Sequence[int]) -> list[str]:
    """Return the cells as wide as their columns, numbers to the right."""
    return [f"{text:{'<' if index < 4 else '>'}{widths[index]}}" for index, text in enumerate(line)]


def as_json(rows: Iterable[Row]) -> list[dict[str, object]]:
    """Return *rows* for a file."""
    return [asdict(each) for each in rows]
