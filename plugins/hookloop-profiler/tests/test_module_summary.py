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


class Lazy(torch.nn.Module):
    """A model with parameters that get their shape from the first batch, and with a branch that is never taken."""

    def __init__(self):
        super().__init__()
        self.used = torch.nn.LazyLinear(3)
        self.unused = torch.nn.LazyLinear(5)

    def forward(self, inputs):
        return self.used(inputs)


def lazy_task():
    batch = (torch.ones(6, 4), torch.zeros(6, dtype=torch.long))
    return SupervisedTask(Lazy(), [batch], predict=[batch] * 2)


def test_a_lazy_model_is_counted_once_it_has_its_shapes(tiny_run):
    """TNT: no operations for lazy parameters (2.1)."""
    result = tiny_run(["summary"], task=lazy_task, commands=["predict"])
    rows = rows_of(result)
    assert (rows["used"]["parameters"], rows["used"]["bytes"], rows["used"]["uninitialized"]) == (15, 60, 0)
    assert rows["used"]["flops"] == rows[""]["flops"] == 2 * 6 * 4 * 3
    assert (rows["used"]["input"], rows["used"]["output"]) == ("6×4", "6×3")


def test_parameters_that_never_got_a_shape_are_told_apart(tiny_run):
    """TNT: a column says whether any are uninitialized (2.1)."""
    result = tiny_run(["summary"], task=lazy_task, commands=["predict"])
    rows = rows_of(result)
    assert (rows["unused"]["parameters"], rows["unused"]["uninitialized"], rows["unused"]["input"]) == (0, 2, None)
    assert (rows[""]["parameters"], rows[""]["uninitialized"]) == (15, 2)
    text = (result.directory / "profile" / "summary" / "modules.txt").read_text()
    assert "15 + 2 without shape" in text.splitlines()[1]


def test_lazy_parameters_that_the_optimizer_took_are_counted_after_the_first_step(tiny_run):
    made = []

    def task():
        model = torch.nn.Sequential(torch.nn.LazyLinear(8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
        made.append(model)
        batch = (torch.ones(6, 4), torch.zeros(6, dtype=torch.long))
        return SupervisedTask(model, [batch] * 2)

    rows = rows_of(tiny_run(["summary"], task=task, epochs=1, optimizer=lambda params: torch.optim.SGD(params, lr=0.1)))
    assert rows[""]["parameters"] == sum(each.numel() for each in made[0].parameters()) == 4 * 8 + 8 + 8 * 3 + 3
    assert rows["0"]["flops"] == 2 * (2 * 6 * 4 * 8)


def test_the_backward_pass_is_counted_whatever_the_model_returns(tiny_run):
    """TNT: operations of the backward pass only where forward returns a tensor (2.1)."""

    class Mapping(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = torch.nn.Linear(4, 3)

        def forward(self, inputs):
            return {"logits": self.inner(inputs), "more": [inputs, None]}

    def loss(output, target):
        return torch.nn.functional.cross_entropy(output["logits"], target)

    def task():
        return SupervisedTask(Mapping(), [(torch.ones(6, 4), torch.zeros(6, dtype=torch.long))])

    rows = rows_of(tiny_run(["summary"], task=task, epochs=1, loss=loss))
    assert rows["inner"]["flops"] == rows[""]["flops"] == 2 * (2 * 6 * 4 * 3)
    assert rows[""]["output"] == "{logits: 6×3, more: (6×4, NoneType)}"


def test_the_first_validation_of_a_training_is_not_what_is_shown(tiny_run):
    rows = rows_of(tiny_run(["summary"], task=task, epochs=1, validate_every="1 step"))
    assert rows[""]["flops"] == 2 * (2 * 6 * 4 * 8 + 2 * 6 * 8 * 3)


class Plain(torch.nn.Module):
    """A model of one layer."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 3)

    def forward(self, inputs):
        return self.layer(inputs)


def compiled(how):
    """Return a task with a compiled model, and the list of what the compiler was asked for."""
    asked = []

    def backend(graph, inputs):
        asked.append(graph)
        return graph.forward

    def task():
        torch._dynamo.reset()
        model = Plain()
        if how == "in place":
            model.compile(backend=backend)
        else:
            model = torch.compile(model, backend=backend)
        batch = (torch.ones(6, 4), torch.zeros(6, dtype=torch.long))
        return SupervisedTask(model, [batch] * 6)

    return task, asked


@pytest.mark.parametrize("how", ["wrapped", "in place"])
@pytest.mark.parametrize("plugin", ["summary", "flops"])
def test_a_compiled_model_is_compiled_once_as_without_it(tiny_run, messages, plugin, how):
    """A step that torch's counter looks on at is not compiled, and neither is any step after it."""
    task, asked = compiled(how)
    tiny_run([], task=task, epochs=1)
    without = len(asked)
    tiny_run([plugin], task=task, epochs=1)
    assert without == 1
    assert len(asked) == 2
    assert any("compiled model" in each for level in ("INFO", "WARNING") for each in messages(level))
