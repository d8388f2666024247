"""The plugin ``summary``: right numbers, and no trace of it."""

import json

import pytest
import torch

from hookloop import SupervisedTask


def task():
    model = torch.nn.Sequential(
        torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 3, bias=False)
    )
    model[3].weight.requires_grad_(False)
    batch = (torch.ones(6, 4), torch.zeros(6, dtype=torch.long))
    return SupervisedTask(model, [batch] * 3, [batch], [batch], [batch])


def rows_of(result, instance="summary"):
    rows = json.loads((result.directory / "profile" / instance / "modules.json").read_text())
    return {row["name"]: row for row in rows}


def test_each_module_has_its_shapes_parameters_bytes_and_operations(tiny_run):
    rows = rows_of(tiny_run(["summary"], task=task, epochs=1))
    assert [*rows] == ["", "0", "1", "2", "3"]
    assert (rows["0"]["input"], rows["0"]["output"]) == ("6×4", "6×8")
    assert [rows[name]["parameters"] for name in rows] == [80, 40, 16, 0, 24]
    assert rows[""]["trainable"] == 56
    assert rows["1"]["bytes"] == 4 * 32 + 8  # weight, bias, mean, variance, and the number of batches
    forward, last = 2 * 6 * 4 * 8, 2 * 6 * 8 * 3
    assert rows["0"]["flops"] == 2 * forward  # its input needs no gradient
    assert rows["3"]["flops"] == 2 * last  # its weight is frozen
    assert rows[""]["flops"] == 2 * (forward + last)


@pytest.mark.parametrize("command", ["fit", "validate", "test", "predict"])
def test_it_leaves_statistics_gradients_and_random_numbers_alone(tiny_run, command):
    """TNT: runs the model for it, which changes the statistics of batch normalisation and takes random numbers."""
    without = tiny_run([], task=task, epochs=1, commands=[command]).state
    observed = tiny_run(["summary"], task=task, epochs=1, commands=[command]).state
    assert all(torch.equal(observed["model"][name], value) for name, value in without["model"].items())
    assert torch.equal(observed["rng"]["torch"], without["rng"]["torch"])


def test_an_evaluation_counts_the_forward_pass(tiny_run):
    rows = rows_of(tiny_run(["summary"], task=task, commands=["predict"]))
    assert rows[""]["flops"] == 2 * 6 * 4 * 8 + 2 * 6 * 8 * 3


def test_nothing_is_left_on_the_modules(tiny_run, failing_plugin):
    made = task()
    with pytest.raises(Exception, match="boom"):
        tiny_run(["summary", ("bomb", failing_plugin("on_forward_end"))], task=made, epochs=1)
    tiny_run(["summary"], task=made, epochs=1)
    assert not any(module._forward_hooks for module in made.model.modules())


def test_shared_weights_count_once_and_depth_is_limited(tiny_run):
    def tied():
        first = torch.nn.Linear(4, 4, bias=False)
        body = torch.nn.Sequential(first, torch.nn.ReLU(), torch.nn.Linear(4, 4, bias=False))
        body[2].weight = first.weight
        batch = (torch.ones(6, 4), torch.zeros(6, dtype=torch.long))
        return SupervisedTask(torch.nn.Sequential(body), [batch])

    rows = rows_of(tiny_run([("summary", {"max_depth": 1})], task=tied, epochs=1))
    assert [*rows] == ["", "0"]
    assert rows[""]["parameters"] == 16


def test_a_lazy_model_is_counted_when_it_has_its_shapes(tiny_run):
    """TNT: no operations for lazy parameters."""

    def lazy():
        model = torch.nn.LazyLinear(3)
        model(torch.ones(1, 4))  # an optimizer wants parameters with shapes
        batch = (torch.ones(6, 4), torch.zeros(6, dtype=torch.long))
        return SupervisedTask(model, [batch])

    rows = rows_of(tiny_run(["summary"], task=lazy, epochs=1))
    assert rows[""]["parameters"] == 15
