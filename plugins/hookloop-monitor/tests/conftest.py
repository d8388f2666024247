"""A driver's library for the true `pynvml` to load, compiled from `fake_nvml.c`, and a run that takes long enough."""

import ctypes
import json
import shutil
import subprocess
import time
from pathlib import Path

import pynvml
import pytest

from hookloop import hookimpl

SOURCE = Path(__file__).with_name("fake_nvml.c")


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory):
    """The path of the library."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("there is no C compiler")
    library = tmp_path_factory.mktemp("nvml") / "libnvidia-ml.so.1"
    options = ["-O1", "-Wall", "-shared", "-fPIC", "-Wl,-soname,libnvidia-ml.so.1"]
    subprocess.run([compiler, *options, "-o", library, SOURCE], check=True)
    return library


@pytest.fixture
def driver(nvml_library, monkeypatch):
    """The library in the place of the driver's, with functions that set what it says."""
    library = ctypes.CDLL(str(nvml_library))
    monkeypatch.setattr(pynvml, "nvmlLib", library)
    monkeypatch.setattr(pynvml, "_nvmlLib_refcount", 0)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    for name in ("fake_used", "fake_energy", "fake_reasons"):
        getattr(library, name).argtypes = [ctypes.c_int, ctypes.c_uint64]
    library.fake_reset()
    return library


@pytest.fixture
def no_driver(driver):
    """A machine whose driver is not loaded."""
    driver.fake_fail(b"nvmlInitWithFlags", -1, pynvml.NVML_ERROR_DRIVER_NOT_LOADED, 0)
    return driver


class Slow:
    """Makes steps take a time that samples are seen in."""

    role = "observer"

    def __init__(self, seconds=0.02):
        self.seconds = seconds

    @hookimpl
    def on_step_end(self):
        time.sleep(self.seconds)


@pytest.fixture
def monitored(tiny_run):
    """A function that trains for half a second with the monitor, and returns the result and the timeline's rows."""

    def train(*plugins, steps=25, epochs=1, log_every="5 steps", **options):
        request = ("monitor", {"interval_seconds": 0.1, **options})
        result = tiny_run([request, Slow(), *plugins], steps=steps, epochs=epochs, log_every=log_every)
        return result, timeline(result.directory)

    return train


def timeline(directory):
    return [json.loads(line) for line in (Path(directory) / "system.jsonl").read_text().splitlines()]


@pytest.fixture
def read_timeline():
    """A function that returns the rows of the timeline in a run directory."""
    return timeline
