"""Every stream of random numbers that training draws from: python's, numpy's, torch's, and each device's."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch


def seed_everything(seed: int) -> None:
    """Seed python, numpy if it is imported, and torch on every device. Loader workers are seeded by torch's stream."""
    random.seed(seed)
    torch.manual_seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed % 2**32)


def rng_state(device: torch.device) -> dict[str, Any]:
    """Return the state of every stream, made of plain values and tensors, so that loading it needs no pickled code."""
    state: dict[str, Any] = {"python": random.getstate(), "torch": torch.get_rng_state()}
    if "numpy" in sys.modules:
        name, keys, position, has_gauss, cached = sys.modules["numpy"].random.get_state()
        state["numpy"] = (name, torch.from_numpy(keys.astype("int64")), position, has_gauss, cached)
    if has_own_stream(device):
        state["device"] = torch.get_device_module(device).get_rng_state(device)
    return state


def set_rng_state(state: Mapping[str, Any], device: torch.device) -> None:
    """Put every stream back to where `rng_state` found it.

    The state may have been through a file: as lists where it had tuples, and with its tensors on any device.
    """
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    torch.set_rng_state(state["torch"].cpu())
    if "numpy" in state:
        import numpy as np

        name, keys, *rest = state["numpy"]
        np.random.set_state((name, keys.cpu().numpy().astype("uint32"), *rest))
    if "device" in state and has_own_stream(device):
        torch.get_device_module(device).set_rng_state(state["device"].cpu(), device)


@contextmanager
def preserved_rng(device: torch.device) -> Iterator[None]:
    """Leave every stream where it was: how often a run validates must not change what it learns."""
    before = rng_state(device)
    try:
        yield
    finally:
        set_rng_state(before, device)


def has_own_stream(device: torch.device) -> bool:
    """Return whether *device* draws random numbers of its own."""
    return device.type not in ("cpu", "meta")
