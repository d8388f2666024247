"""What every plugin keeps, for each guard."""

from typing import ClassVar

from hookloop.testing import PluginContract


class TestEarlyStopping(PluginContract):
    plugin = "early-stopping"
    options: ClassVar = {"restore_best": True}
    meta_options: ClassVar = {"monitor": "train/loss", "restore_best": True}  # there is no validation then


class TestNanGuard(PluginContract):
    plugin = "nan-guard"
    options: ClassVar = {"gradients": True, "modules": True}


class TestTimeLimit(PluginContract):
    plugin = "time-limit"
    options: ClassVar = {"duration": "2 hours"}


class TestGarbageCollection(PluginContract):
    plugin = "gc"
    options: ClassVar = {"every": "2 steps", "generation": 0, "freeze": False}


class TestCudaCache(PluginContract):
    plugin = "cuda-cache"
    options: ClassVar = {"every": "2 steps"}


class TestTf32(PluginContract):
    plugin = "tf32"


class TestEma(PluginContract):
    plugin = "ema"
    options: ClassVar = {"decay": 0.9, "checkpoint": "average", "final": "average", "file": "ema.pt"}
    second_options: ClassVar = {"use_in": []}


class TestFreeze(PluginContract):
    plugin = "freeze"
    options: ClassVar = {"parameters": ["0"], "until": "1 epoch"}


class TestAdaptiveClipping(PluginContract):
    plugin = "clip"
    options: ClassVar = {"exclude": ["3.*"]}
