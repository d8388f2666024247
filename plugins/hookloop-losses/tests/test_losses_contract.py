"""What every plugin keeps, for both."""

from typing import ClassVar

import torch

from hookloop import SupervisedTask
from hookloop.testing import PluginContract


class TestLosses(PluginContract):
    plugin = "losses"

    # Two providers of the same names are an error, and meant to be: see test_losses_provider.py.
    test_two_instances_run_side_by_side = None


class TestPenalties(PluginContract):
    plugin = "penalties"
    options: ClassVar = {"l1": 1e-3, "l2": {"weight": 1e-3, "parameters": ["0.*"]}, "smoothness": 0.1}
    second_options: ClassVar = {"l1": 1e-2}


class TestPenaltiesOfASeries(PluginContract):
    plugin = "penalties"
    options: ClassVar = {
        "smoothness": {"weight": 1.0, "order": 2, "norm": "absolute"},
        "own": {"size": f"{__file__}:size"},
    }
    keywords: ClassVar = {"loss": torch.nn.functional.mse_loss}

    def task(self):
        generator = torch.Generator().manual_seed(0)
        series = [(torch.randn(4, 8, generator=generator), torch.randn(4, 12, generator=generator)) for _ in range(3)]
        return SupervisedTask(torch.nn.Linear(8, 12), train=series, val=series, test=series, predict=series)


def size(run):
    return run.output.square().mean()
