import math

import numpy
import pytest
import torch

from hookloop import SupervisedTask, hookimpl
from hookloop.builtin.metrics import Accuracy, Averaged, Metric
from hookloop.testing import tiny_task


def updated(metric, *batches):
    for batch in batches:
        metric.update(*batch)
    return float(metric.compute())


@pytest.mark.parametrize(
    ("output", "target", "share"),
    [
        ([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]], [0, 1, 1, 1], 0.75),
        ([[1.0, 2.0, 3.0]], [2], 1.0),
        ([1.5, -0.5, 0.1, -3.0], [1, 1, 0, 0], 0.5),
        ([1.5, -0.5], [1.0, 0.0], 1.0),
        ([[[3.0, 0.0], [0.0, 3.0]]], [[0, 1]], 1.0),
    ],
)
def test_accuracy_is_the_share_of_right_answers(output, target, share):
    assert updated(Accuracy(), (torch.tensor(output), torch.tensor(target))) == share


def test_accuracy_counts_samples_and_not_batches():
    right = torch.tensor([[0.0, 1.0]]), torch.tensor([1])
    wrong = torch.tensor([[0.0, 1.0]] * 3), torch.tensor([0, 0, 0])
    assert updated(Accuracy(), right, wrong) == 0.25


def test_a_function_is_averaged_by_samples():
    metric = Averaged(lambda output, target: (output - target).abs().mean())
    assert updated(metric, (torch.tensor([1.0]), 0, 1), (torch.tensor([3.0]), 0, 3)) == pytest.approx(2.5)


def test_a_function_may_return_a_plain_number():
    assert updated(Averaged(lambda output, target: output), (1, None, 1), (4, None, 2)) == 3.0


@pytest.mark.parametrize("metric", [Accuracy(), Averaged(lambda output, target: 1.0)])
def test_a_metric_of_nothing_is_nan_and_a_reset_forgets(metric):
    assert math.isnan(metric.compute())
    metric.update(torch.tensor([[0.0, 1.0]]), torch.tensor([1]))
    assert metric.compute() == 1.0
    metric.reset()
    assert math.isnan(metric.compute())


def test_a_function_keeps_no_graph():
    metric = Averaged(lambda output, target: output.sum())
    metric.update(torch.ones(2, requires_grad=True), None, 1)
    assert not metric.compute().requires_grad


def uneven():
    """Return a task whose validation batches have 6 and 2 samples."""
    tiny = tiny_task()
    first, second = tiny.val_loader()
    return SupervisedTask(tiny.model, tiny.train_loader(), [first, (second[0][:2], second[1][:2])])


def test_metrics_are_logged_under_their_names_once_a_validation(tiny_run):
    result = tiny_run(metrics={"accuracy": {}, "mine": lambda output, target: 2.0}, epochs=3)
    rows = [row for row in result.history if "val/accuracy" in row]
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert all(row["val/mine"] == 2.0 for row in rows)
    assert result.metrics["val/accuracy"] == rows[-1]["val/accuracy"]


def test_metrics_of_a_test_have_its_prefix(tiny_run):
    result = tiny_run(metrics={"accuracy": {}}, commands=("test",))
    assert set(result.metrics) == {"test/loss", "test/accuracy"}


def test_a_function_and_the_loss_are_weighted_alike(tiny_run):
    def error(output, target):
        return torch.nn.functional.cross_entropy(output, target)

    result = tiny_run(task=uneven, metrics={"error": error, "accuracy": {}}, epochs=1)
    assert result.metrics["val/error"] == pytest.approx(result.metrics["val/loss"])
    assert (result.metrics["val/accuracy"] * 8).is_integer()


class Largest(torch.nn.Module):
    """A metric in the way of torchmetrics: a module with a state of its own that counts batches."""

    def __init__(self):
        super().__init__()
        self.register_buffer("value", torch.tensor(0.0))
        self.log = []

    def update(self, output, target):
        self.log.append("update")
        self.value = torch.maximum(self.value, output.max())

    def compute(self):
        self.log.append("compute")
        return self.value

    def reset(self):
        self.log.append("reset")
        self.value = torch.zeros_like(self.value)


def test_anything_with_the_three_methods_is_a_metric(tiny_run):
    metric = Largest()
    assert isinstance(metric, Metric)
    result = tiny_run(metrics={"largest": metric}, epochs=2)
    assert metric.log == ["reset", "update", "update", "compute"] * 2
    assert result.metrics["val/largest"] == pytest.approx(metric.value.item())


def test_a_metric_with_tensors_is_moved_to_the_device(tiny_run):
    class Shapes(SupervisedTask):
        def validation_step(self, batch):
            return self.forward(batch), None

    class Moved(Largest):
        def compute(self):
            devices.append(self.value.device.type)
            return 0.0

    devices = []
    tiny = tiny_task()
    task = Shapes(tiny.model, val=tiny.val_loader())
    tiny_run(metrics={"moved": Moved()}, task=task, device="meta", commands=("validate",))
    assert devices == ["meta"]


def test_metrics_see_the_batch_as_plugins_left_it(tiny_run):
    class Relabel:
        @hookimpl
        def on_validation_batch_start(self, batch):
            batch[1].zero_()

    result = tiny_run([Relabel()], metrics={"sum": lambda output, target: target.sum()}, epochs=1)
    assert result.metrics["val/sum"] == 0.0


def test_metrics_do_not_change_what_is_learned(tiny_run):
    plain, measured = tiny_run(), tiny_run(metrics={"accuracy": {}, "noise": lambda output, target: torch.rand(())})
    assert all(map(torch.equal, plain.state["model"].values(), measured.state["model"].values()))


def giving(value):
    """Return a metric whose value is *value*."""
    return type("Giving", (Largest,), {"compute": lambda self: value})()


@pytest.mark.parametrize(
    ("value", "logged"),
    [
        (torch.tensor([0.5, 0.25]), {"many/0": 0.5, "many/1": 0.25}),
        (torch.tensor([[1, 2], [3, 4]]), {"many/0/0": 1, "many/0/1": 2, "many/1/0": 3, "many/1/1": 4}),
        (torch.tensor([True, False]), {"many/0": 1, "many/1": 0}),
        (torch.tensor([[0.5]]), {"many": 0.5}),
        (numpy.array([0.5]), {"many": 0.5}),
        (numpy.array([0.5, 2]), {"many/0": 0.5, "many/1": 2}),
        (numpy.float32(0.5), {"many": 0.5}),
        (torch.zeros(0), {}),
        ({"a": 1, "b": {"c": torch.tensor(2.0)}}, {"many/a": 1, "many/b/c": 2}),
        ((torch.zeros(2), [3]), {"many/0/0": 0, "many/0/1": 0, "many/1/0": 3}),
    ],
)
def test_several_values_are_named_by_key_and_index(tiny_run, value, logged):
    result = tiny_run(metrics={"many": giving(value)}, epochs=1)
    assert {name: each for name, each in result.metrics.items() if "many" in name} == {
        f"val/{name}": each for name, each in logged.items()
    }


def test_a_function_may_give_several_values_a_batch(tiny_run):
    result = tiny_run(task=uneven, metrics={"mean": lambda output, target: output.mean(0)}, epochs=1)
    assert {"val/mean/0", "val/mean/1", "val/mean/2"} < set(result.metrics)


def fails(output, target):
    raise ZeroDivisionError("nothing to divide")


@pytest.mark.parametrize(
    ("metric", "kind", "said"),
    [
        (fails, ZeroDivisionError, "nothing to divide"),
        (giving("many"), TypeError, "run.log('val/shaky'): wanted one number, got a str"),
        (giving({"a": [1, None]}), TypeError, "run.log('val/shaky/a/1'): wanted one number, got a NoneType"),
        (giving(torch.zeros(101, 101)), ValueError, "val/shaky: wanted 10000 numbers at most"),
    ],
)
def test_what_goes_wrong_in_a_metric_has_its_name(tiny_run, metric, kind, said):
    with pytest.raises(kind) as caught:
        tiny_run(metrics={"shaky": metric}, epochs=1)
    assert said in str(caught.value)
    assert "raised by the metric 'shaky'" in caught.value.__notes__


def test_a_batch_without_a_target_says_what_to_override(tiny_run):
    class Unsupervised(SupervisedTask):
        def loss(self, output, batch):
            return output.square().mean()

    tiny = tiny_task()
    inputs = [each for each, _ in tiny.train_loader()]
    task = Unsupervised(tiny.model, inputs, inputs)
    with pytest.raises(TypeError, match=r"override Task\.target\(batch\)"):
        tiny_run(task=task, metrics={"accuracy": {}}, epochs=1)
    assert tiny_run(task=task, epochs=1).outcome == "completed"
