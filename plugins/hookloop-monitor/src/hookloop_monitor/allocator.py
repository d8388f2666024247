"""What PyTorch's allocator holds of the device that is trained on, and what CUDA says of the cards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

FIGURES = {
    "allocated_bytes": "memory_allocated",
    "reserved_bytes": "memory_reserved",
    "peak_allocated_bytes": "max_memory_allocated",
    "peak_reserved_bytes": "max_memory_reserved",
}


class AllocatorReader:
    """Reads the allocator's own figures, which asks no device and waits for none."""

    def __init__(self, figures: Mapping[str, Callable[[], int]]) -> None:
        self._figures = figures

    def read(self, now: float, *, slow: bool = False) -> dict[str, float]:
        """Return the figures in bytes; peaks are those since the process began, or since somebody reset them."""
        return {f"allocator/{name}": read() for name, read in self._figures.items()}

    def close(self) -> None:
        """Nothing is held."""


def open_allocator(device: torch.device) -> AllocatorReader | None:
    """Return the reader for *device*; None where there is no such allocator, as on the CPU."""
    import torch

    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if accelerator is None or accelerator.type != device.type:
        return None
    # Before torch 2.9 the figures were the device's module's alone.
    modules: tuple[Any, ...] = (torch.accelerator, torch.get_device_module(device))
    module = next((each for each in modules if hasattr(each, "memory_allocated")), None)
    if module is None:
        return None
    index = device.index if device.index is not None else torch.accelerator.current_device_index()
    return AllocatorReader({name: bound(getattr(module, function), index) for name, function in FIGURES.items()})


def bound(function: Callable[[int], int], index: int) -> Callable[[], int]:
    """Return *function* for the device of that number."""
    return lambda: function(index)


def cuda_uuids() -> list[str]:
    """Return the UUIDs of the cards that CUDA shows, in its order; none unless CUDA is in use already."""
    import torch

    initialized: Callable[[], bool] = torch.cuda.is_initialized
    if torch.version.hip is not None or not torch.cuda.is_available() or not initialized():
        return []
    properties = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return [str(each.uuid) for each in properties if hasattr(each, "uuid")]
