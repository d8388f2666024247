"""Taking the weights out of a snapshot, for use without hookloop."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any

import torch

from hookloop.errors import SnapshotError
from hookloop.snapshots.copying import identity
from hookloop.snapshots.durable import erase, fsync_directory
from hookloop.snapshots.owners import hidden_name
from hookloop.snapshots.reading import read

Weights = Mapping[str, Any]


def export_weights(path: Path, target: Path) -> None:
    """Write the weights of the model in the snapshot at *path* as the file *target*, in place of one that is there.

    ``*.safetensors`` takes the package ``safetensors``; of tensors that the model shares it holds one, and the names of
    the others in its metadata as NAME: NAME THAT HOLDS IT. ``*.pt`` is the state dict of the model. Raises
    SnapshotError for another ending, for what is no valid snapshot, and when the file cannot be written.
    """
    save = {".safetensors": save_safetensors, ".pt": save_torch}.get(target.suffix)
    if save is None:
        raise SnapshotError(f"{target} has to end in .safetensors or .pt: the ending tells the format.")
    replace_file(target, save, read(path, parts=["model"])["model"])


def replace_file(target: Path, save: Callable[[Weights, Path], None], weights: Weights) -> None:
    """Save *weights* beside *target* and put the file in its place durably, so that it is always a whole one."""
    fresh = target.with_name(hidden_name("tmp", target.name))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        save(weights, fresh)
        with fresh.open("rb") as file:
            os.fsync(file.fileno())
        fresh.replace(target)
        fsync_directory(target.parent)
    except (OSError, RuntimeError) as error:
        raise SnapshotError(f"{target} could not be written: {error}.") from error
    finally:
        erase(fresh)  # which is there only when something went wrong


def save_torch(weights: Weights, file: Path) -> None:
    """Save *weights* with torch."""
    with file.open("xb") as stream:
        torch.save(weights, stream)


def save_safetensors(weights: Weights, file: Path) -> None:
    """Save *weights* with safetensors."""
    try:
        library = importlib.import_module("safetensors")
        library_for_torch = importlib.import_module("safetensors.torch")
    except ImportError as error:
        raise SnapshotError("a .safetensors file needs the package safetensors: pip install safetensors") from error
    tensors, aliases = without_sharing(weights)
    try:
        library_for_torch.save_file(tensors, str(file), metadata={"format": "pt", **aliases})
    except (library.SafetensorError, KeyError, ValueError) as error:
        raise SnapshotError(f"safetensors cannot hold these weights: {error}. Export a .pt file instead.") from error


def without_sharing(weights: Weights) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Return the tensors of *weights*, each once and with memory of its own, and the other names of them."""
    tensors: dict[str, torch.Tensor] = {}
    aliases: dict[str, str] = {}
    names: dict[Hashable, str] = {}
    memories: set[int] = set()
    for name, tensor in weights.items():
        if not isinstance(tensor, torch.Tensor) or tensor.layout != torch.strided:
            raise SnapshotError(
                f"'{name}' is no dense tensor, and .safetensors files hold nothing else. Export a .pt file instead."
            )
        kept = names.setdefault(identity(tensor), name)
        if kept != name:
            aliases[name] = kept
            continue
        tensors[name] = tensor.contiguous()
        if tensors[name].data_ptr() in memories:
            tensors[name] = tensors[name].clone()
        memories.add(tensors[name].data_ptr())
    return tensors, aliases
