"""The way to NVIDIA's management library: opens it through `pynvml`, and says why where there is none."""

from __future__ import annotations

import importlib
import importlib.metadata
from pathlib import Path
from types import ModuleType
from typing import Any

# The errors after which nothing more can be read of a card, by their numbers in nvml.h.
UNINITIALIZED, DRIVER_NOT_LOADED, LIBRARY_NOT_FOUND, FUNCTION_NOT_FOUND = 1, 9, 12, 13
NOT_SUPPORTED, NO_PERMISSION, GPU_IS_LOST, RESET_REQUIRED, VERSION_MISMATCH = 3, 4, 15, 16, 18
GONE = frozenset((UNINITIALIZED, DRIVER_NOT_LOADED, GPU_IS_LOST, RESET_REQUIRED, VERSION_MISMATCH))
REFUSED = frozenset((NOT_SUPPORTED, NO_PERMISSION, FUNCTION_NOT_FOUND))

ABSENT = frozenset((2**32 - 1, 2**64 - 1))  # how NVML says that a number is not available


class NoNvmlError(Exception):
    """NVML cannot be used; the text says why, for people."""


def open_nvml() -> Any:
    """Return the module `pynvml` with NVML open; `close_nvml` has to follow. Raises NoNvmlError."""
    try:
        nvml: Any = importlib.import_module("pynvml")
    except Exception as error:
        # The redirector of the name pynvml warns when it is imported, which a filter may have made an error.
        raise NoNvmlError(f"the module pynvml cannot be imported ({error}): pip install nvidia-ml-py") from error
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        if error_code(error) == LIBRARY_NOT_FOUND:
            raise NoNvmlError("there is no NVIDIA driver on this machine") from error
        raise NoNvmlError(f"NVML does not start: {error}") from error
    return nvml


def close_nvml(nvml: Any) -> None:
    """Give NVML back; one that has died already needs no more."""
    try:
        nvml.nvmlShutdown()
    except nvml.NVMLError as error:
        if error_code(error) not in GONE:
            raise


def error_code(error: Exception) -> int:
    """Return the number of an NVMLError; -1 for what is none."""
    code = getattr(error, "value", -1)
    return code if isinstance(code, int) else -1


def complaint_about_module(module: ModuleType) -> str | None:
    """Return what to say when *module*, which calls itself pynvml, is not the one of nvidia-ml-py; else None.

    The distribution `pynvml` had a package of that name up to version 11, which is found before NVIDIA's module.
    """
    found = Path(getattr(module, "__file__", None) or module.__name__)
    try:
        rightful = Path(str(importlib.metadata.distribution("nvidia-ml-py").locate_file("pynvml.py")))
    except importlib.metadata.PackageNotFoundError:
        return f"{found} is not NVIDIA's: pip install nvidia-ml-py"
    if not rightful.exists() or found.resolve() == rightful.resolve():
        return None
    return (
        f"{found} hides the module pynvml of nvidia-ml-py, and knows less of GPUs: "
        "pip uninstall pynvml, then pip install --force-reinstall nvidia-ml-py"
    )
