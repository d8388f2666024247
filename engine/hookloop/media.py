"""What is logged beside numbers: texts, images, figures, histograms and files, for those plugins that take them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from hookloop.errors import HookloopError

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

CHANNELS = (1, 3, 4)
SHAPES = "(H, W) or (C, H, W) for a tensor and (H, W) or (H, W, C) for an array, with 1, 3 or 4 channels"


class MediaError(HookloopError):
    """Something that cannot be logged as what it was said to be."""


def value_of(value: T | Callable[[], T]) -> T:
    """Return *value*, or what it returns where it is a function: it was not called before somebody wanted it."""
    return value() if callable(value) else value


def as_pixels(name: str, image: Any) -> torch.Tensor:
    """Return *image* as a uint8 tensor ``(H, W, C)`` on the CPU, with 1, 3 or 4 channels.

    A torch tensor is ``(H, W)`` or ``(C, H, W)``, a numpy array or PIL image ``(H, W)`` or ``(H, W, C)``, as is usual
    for each. Floats are from 0 to 1, and cut off there; NaN is 0. uint8 is taken as it is, bool as black and white.
    Raises MediaError for anything else.
    """
    import torch

    channels_first = isinstance(image, torch.Tensor)
    pixels = image.detach() if channels_first else from_array(name, image)
    if pixels.ndim == 2:
        pixels = pixels.unsqueeze(-1)
    elif pixels.ndim == 3 and channels_first:
        pixels = pixels.movedim(0, -1)
    if pixels.ndim != 3 or pixels.shape[-1] not in CHANNELS:
        raise MediaError(f"run.log_image('{name}'): got the shape {tuple(image.shape)}, expected {SHAPES}.")
    return as_bytes(name, pixels).cpu().contiguous()


def from_array(name: str, image: Any) -> torch.Tensor:
    """Return an array, or what has the interface of one as a PIL image has, as a tensor of the same shape."""
    import torch

    if not (hasattr(image, "__array_interface__") or hasattr(image, "__array__")):
        raise MediaError(
            f"run.log_image('{name}'): got a {type(image).__name__}, expected a tensor, array or PIL image."
        )
    import numpy

    return torch.from_numpy(numpy.array(image))


def as_bytes(name: str, pixels: torch.Tensor) -> torch.Tensor:
    """Return *pixels* as uint8."""
    import torch

    if pixels.dtype == torch.uint8:
        return pixels
    if pixels.dtype == torch.bool:
        return pixels.to(torch.uint8) * 255
    if pixels.is_floating_point():
        return (pixels.float().nan_to_num(0.0).clamp(0, 1) * 255).round().to(torch.uint8)
    raise MediaError(f"run.log_image('{name}'): got {pixels.dtype}, expected uint8, bool, or floats from 0 to 1.")


def as_values(name: str, values: Any) -> torch.Tensor:
    """Return *values*, a tensor, an array or numbers in a sequence, as a tensor without a graph."""
    import torch

    if isinstance(values, torch.Tensor):
        return values.detach()
    try:
        return torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise MediaError(
            f"run.log_histogram('{name}'): expected numbers, got {type(values).__name__}: {error}"
        ) from None


def existing(path: str | os.PathLike[str]) -> Path:
    """Return *path*; raises MediaError when there is nothing."""
    found = Path(path)
    if not found.exists():
        raise MediaError(f"run.log_artifact: there is no file or directory '{found}' (from {Path.cwd()}).")
    return found


def close_figure(figure: Any) -> None:
    """Close a figure that nobody else holds, or pyplot would keep it to the end of the process."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None and isinstance(figure, pyplot.Figure):
        pyplot.close(figure)
