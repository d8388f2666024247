"""The line about the model."""

from types import SimpleNamespace

import pytest
import torch

from hookloop_progress.model import ModelFacts, facts_of, name_of, sentence, size, words


def facts(model, **values):
    return facts_of(SimpleNamespace(model=model, device=torch.device("cpu"), precision="bf16-mixed", **values))


def test_parameters_and_buffers_are_counted():
    model = torch.nn.Sequential(torch.nn.Linear(10, 100), torch.nn.BatchNorm1d(100))
    model[0].weight.requires_grad_(False)
    found = facts(model)
    assert (found.parameters, found.trainable) == (1300, 300)
    assert found.size_bytes == 4 * 1300 + 4 * 200 + 8
    assert sentence(found) == "model  Sequential, 1,300 parameters (300 trainable), 6.01 kB, cpu, bf16-mixed"
    assert words(found) == "model=Sequential parameters=1300 trainable=300 bytes=6008 device=cpu precision=bf16-mixed"


def test_a_shared_parameter_is_counted_once():
    layer = torch.nn.Linear(3, 3)
    assert facts(torch.nn.Sequential(layer, layer)).parameters == 12


def test_lazy_layers_are_told_of_and_not_guessed():
    found = facts(torch.nn.Sequential(torch.nn.LazyLinear(4), torch.nn.Linear(4, 1)))
    assert (found.parameters, found.undetermined) == (5, 2)
    assert "5 parameters (5 trainable) and 2 tensors that the first batch will shape" in sentence(found)
    assert "trainable=5 undetermined=2 bytes=20" in words(found)


def test_the_name_is_that_of_what_torch_has_wrapped():
    compiled = type("OptimizedModule", (), {"_orig_mod": torch.nn.Linear(1, 1)})()
    assert name_of(type("DistributedDataParallel", (), {"module": compiled})()) == "Linear"
    assert name_of(type("DataParallel", (), {})()) == "DataParallel"


@pytest.mark.parametrize(
    ("size_bytes", "text"), [(0, "0 B"), (20, "20 B"), (49_380, "49.4 kB"), (5.2e8, "520 MB"), (1.4e10, "14 GB")]
)
def test_a_size_has_three_digits(size_bytes, text):
    assert size(size_bytes) == text


def test_a_model_without_parameters_has_none():
    assert facts(torch.nn.Identity()) == ModelFacts("Identity", 0, 0, 0, 0, "cpu", "bf16-mixed")
