"""The parameters of a model by name, and norms and copies of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

Named = tuple[str, Any]  # a name and a tensor


@dataclass
class Gradients:
    """What was taken of the gradients of a step: norms by name, on the device, and copies on the CPU."""

    norms: dict[str, torch.Tensor]
    copies: list[Named]


def selected(model: torch.nn.Module, include: Sequence[str], exclude: Sequence[str]) -> list[Named]:
    """Return the parameters of *model* that are included and not excluded, but for those without a shape yet."""
    named = ((plain_name(model, name), each) for name, each in model.named_parameters())
    return [each for each in named if wanted(each, include, exclude)]


def buffers(model: torch.nn.Module, include: Sequence[str], exclude: Sequence[str]) -> list[Named]:
    """Return the buffers of *model* that are included and not excluded."""
    named = ((plain_name(model, name), each) for name, each in model.named_buffers())
    return [each for each in named if wanted(each, include, exclude)]


def wanted(named: Named, include: Sequence[str], exclude: Sequence[str]) -> bool:
    """Return whether a tensor is to be looked at."""
    name, tensor = named
    if isinstance(tensor, (UninitializedBuffer, UninitializedParameter)):
        return False
    return any(fnmatchcase(name, each) for each in include) and not any(fnmatchcase(name, each) for each in exclude)


def plain_name(model: torch.nn.Module, name: str) -> str:
    """Return *name* as it is in the user's own model, without what wrappers put before it."""
    if isinstance(model, torch.nn.parallel.DistributedDataParallel):
        name = name.removeprefix("module.")
    return name.replace("_orig_mod.", "")


def norms(named: Iterable[Named], kind: str) -> dict[str, torch.Tensor]:
    """Return the norm of each module's own tensors as ``norm/KIND/MODULE``, of all as ``norm/total/KIND``; unread."""
    parts: dict[str, list[torch.Tensor]] = {}
    for name, tensor in named:
        if tensor.numel():
            parts.setdefault(name.rpartition(".")[0] or "model", []).append(norm_of(tensor))
    found = {f"norm/{kind}/{module}": together(each) for module, each in parts.items()}
    if found:
        found[f"norm/total/{kind}"] = together(list(found.values()))
    return found


def norm_of(tensor: torch.Tensor) -> torch.Tensor:
    """Return the norm of a tensor as a float of 32 bits or more: half precision would overflow."""
    values = whole(tensor)
    if values.layout == torch.sparse_coo:
        values = values.coalesce().values()
    if values.is_complex():
        values = torch.view_as_real(values.resolve_conj())
    if values.dtype not in (torch.float32, torch.float64):
        values = values.float()
    norm: torch.Tensor = torch.linalg.vector_norm(values)
    return norm


def together(parts: list[torch.Tensor]) -> torch.Tensor:
    """Return the norm of tensors whose norms are *parts*, wherever these are."""
    first = parts[0]
    if len(parts) == 1:
        return first
    norm: torch.Tensor = torch.linalg.vector_norm(torch.stack([each.to(first.device, first.dtype) for each in parts]))
    return norm


def copies(named: Iterable[Named], *, keep: bool) -> list[Named]:
    """Return copies on the CPU, as clipping is going to change the originals.

    All ranks have to call this, as the parts of a sharded tensor are put together; who does not *keep* them has none.
    """
    found = ((name, whole(tensor)) for name, tensor in named)
    return [(name, tensor.detach().to("cpu", copy=True)) for name, tensor in found if keep]


def whole(tensor: Any) -> torch.Tensor:
    """Return *tensor*; one that is sharded is put together, which all ranks have to call."""
    full = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    found: torch.Tensor = full.detach()
    return found
