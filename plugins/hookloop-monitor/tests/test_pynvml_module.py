"""The module `pynvml`: NVIDIA's own, or one that hides it."""

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pynvml
import pytest

from hookloop_monitor import nvml


def test_nvidias_own_module_is_no_complaint():
    assert nvml.complaint_about_module(pynvml) is None


def test_a_package_of_the_same_name_is_complained_about(tmp_path, monkeypatch):
    (tmp_path / "pynvml").mkdir()
    (tmp_path / "pynvml" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pynvml")
    module = importlib.import_module("pynvml")
    complaint = nvml.complaint_about_module(module)
    assert "hides the module pynvml of nvidia-ml-py" in complaint
    assert "pip uninstall pynvml" in complaint


def test_a_module_without_its_distribution_is_complained_about(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    assert "pip install nvidia-ml-py" in nvml.complaint_about_module(ModuleType("pynvml"))


def test_a_module_that_cannot_be_imported_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(nvml.NoNvmlError, match="pip install nvidia-ml-py"):
        nvml.open_nvml()


def test_an_error_on_closing_that_is_no_death_is_not_hidden(driver):
    opened = nvml.open_nvml()
    driver.fake_fail(b"nvmlShutdown", -1, pynvml.NVML_ERROR_UNKNOWN, 0)
    with pytest.raises(pynvml.NVMLError):
        nvml.close_nvml(opened)


def test_the_library_is_found_by_the_binding_itself(nvml_library):
    """Nothing of the binding is replaced here: the loader finds the library as it would find the driver's."""
    code = (
        "import os; from hookloop_monitor.notices import Notices; from hookloop_monitor.opening import open_gpus;"
        "from hookloop_monitor.visible import Place;"
        "reader = open_gpus('own', Place(), os.environ, Notices());"
        "values = reader.read(0.0); reader.close();"
        "assert sorted({name.partition('/')[0] for name in values}) == ['gpu0'], values"
    )
    environment = {"LD_LIBRARY_PATH": str(Path(nvml_library).parent), "CUDA_VISIBLE_DEVICES": "1"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
