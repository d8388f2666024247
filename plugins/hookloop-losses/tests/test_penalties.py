"""Penalties: what they measure, what they add, what is logged, and what is told when they are wrong."""

import math

import pytest
import torch

from hookloop import ConfigError, PluginHookError, SupervisedTask, hookimpl
from hookloop_losses import LossError, measures


def double(run):
    return 2 * run.output.square().mean()


def no_number(run):
    return run.output


class Loss:
    """Keeps the loss that goes into the backward pass."""

    def __init__(self):
        self.seen = []

    @hookimpl
    def on_backward_start(self, run, loss):
        self.seen.append((loss.item(), run.model.state_dict()["0.weight"].clone(), run.output.detach()))


def series(shape=(4, 8)):
    x, y = torch.randn(2, 3, *shape)
    return SupervisedTask(
        torch.nn.Sequential(torch.nn.Linear(8, 8)), train=list(zip(x, y, strict=True)), val=list(zip(x, y, strict=True))
    )


def fit(tiny_run, *plugins, **keywords):
    return tiny_run(plugins, task=series, loss=torch.nn.functional.mse_loss, **keywords)


def test_norms_by_hand():
    weights = [torch.tensor([[1.0, -2.0]]), torch.tensor([[3.0]])]
    assert measures.l1(weights).item() == 6
    assert measures.l2(weights).item() == 14


def test_differences_by_hand():
    output = torch.tensor([[0.0, 1.0, 3.0, 6.0]])
    assert measures.difference(output).item() == pytest.approx((1 + 4 + 9) / 3)
    assert measures.difference(output, order=2).item() == 1
    assert measures.difference(output, norm="absolute").item() == 2
    assert measures.difference(output.T, dim=0).item() == pytest.approx(14 / 3)


def test_a_straight_line_has_no_second_difference():
    assert measures.difference(torch.arange(10.0)[None], order=2).item() == 0


@pytest.mark.parametrize("norm", ["squared", "absolute"])
@pytest.mark.parametrize("order", [1, 2])
def test_gradients_of_measures_are_right(order, norm):
    output = torch.randn(2, 6, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: measures.difference(x, order, 1, norm), output)
    assert torch.autograd.gradcheck(lambda x: measures.l1([x]) + measures.l2([x]), output)


def test_half_precision_is_measured_in_float32():
    assert measures.difference(torch.zeros(2, 4, dtype=torch.bfloat16)).dtype == torch.float32


def test_the_gradient_of_l1_at_zero_is_zero():
    weight = torch.zeros(2, 2, requires_grad=True)
    measures.l1([weight]).backward()
    assert weight.grad.eq(0).all()


def test_each_penalty_is_added_and_logged_apart(tiny_run):
    loss = Loss()
    options = {"l1": 0.1, "l2": 0.01, "smoothness": 0.5, "own": {"size": f"{__file__}:double"}}
    result = fit(tiny_run, ("penalties", options), loss, epochs=1, steps=1)
    for row, (total, weight, output) in zip(result.history, loss.seen, strict=False):
        assert row["loss/l1"] == pytest.approx(0.1 * weight.abs().sum().item(), rel=1e-5)
        assert row["loss/l2"] == pytest.approx(0.01 * weight.square().sum().item(), rel=1e-5)
        assert row["loss/smoothness"] == pytest.approx(0.5 * measures.difference(output).item(), rel=1e-5)
        assert row["loss/size"] == pytest.approx(2 * output.square().mean().item(), rel=1e-5)
        parts = sum(value for name, value in row.items() if name.startswith("loss/"))
        assert row["train/loss"] == pytest.approx(total, rel=1e-6)
        assert parts == pytest.approx(total, rel=1e-6)


def test_validation_is_without_penalties(tiny_run):
    plain = fit(tiny_run, epochs=1)
    penalised = fit(tiny_run, ("penalties", {"l2": 0.0}), epochs=1)
    assert penalised.metrics["val/loss"] == plain.metrics["val/loss"]
    assert not [name for name in penalised.metrics if name.startswith("val/l2")]


def test_the_means_of_accumulated_batches_add_up(tiny_run):
    options = {"l1": 0.1, "smoothness": {"weight": 0.5, "order": 2}}
    result = fit(tiny_run, ("penalties", options), accumulate=3, epochs=1, steps=1)
    row = result.history[0]
    parts = row["loss/data"] + row["loss/l1"] + row["loss/smoothness"]
    assert row["train/loss"] == pytest.approx(parts, rel=1e-6)


def test_a_weight_decay_by_penalty_is_that_of_the_optimizer(tiny_run):
    decayed = fit(
        tiny_run,
        optimizer=lambda p: torch.optim.SGD(
            [{"params": [w for w in p if w.ndim > 1], "weight_decay": 0.2}, {"params": [w for w in p if w.ndim == 1]}],
            lr=0.1,
        ),
    )
    penalised = fit(tiny_run, ("penalties", {"l2": 0.1}), optimizer=lambda p: torch.optim.SGD(p, lr=0.1))
    for one, other in zip(decayed.state["model"].values(), penalised.state["model"].values(), strict=True):
        torch.testing.assert_close(one, other)


def test_l1_makes_weights_smaller_and_smoothness_predictions_smoother(tiny_run):
    def last(*plugins):
        loss = Loss()
        fit(tiny_run, *plugins, loss, epochs=30)
        return loss.seen[-1][1].abs().sum(), measures.difference(loss.seen[-1][2])

    weights, jumps = last()
    assert last(("penalties", {"l1": 0.05}))[0] < 0.5 * weights
    assert last(("penalties", {"smoothness": 1.0}))[1] < 0.5 * jumps


def test_parameters_are_chosen_by_name(tiny_run):
    options = {"l1": {"weight": 1.0, "parameters": ["*.bias"]}}
    loss = Loss()
    result = fit(
        tiny_run, ("penalties", options), loss, epochs=1, steps=1, optimizer=lambda p: torch.optim.SGD(p, lr=0.0)
    )
    bias = result.state["model"]["0.bias"]
    assert result.history[0]["loss/l1"] == pytest.approx(bias.abs().sum().item(), rel=1e-5)


def test_without_names_biases_and_frozen_weights_are_left_alone():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.LayerNorm(2), torch.nn.Linear(2, 2))
    model[2].requires_grad_(False)
    assert [id(each) for each in measures.parameters(model, None, "l1")] == [id(model[0].weight)]


def test_two_instances_log_apart(tiny_run):
    head = ("head", {"use": "penalties", "l1": {"weight": 1.0, "parameters": ["0.*"]}})
    row = fit(tiny_run, ("penalties", {"l1": 0.1}), head, epochs=1, steps=1).history[0]
    assert {"loss/data", "loss/l1", "loss/head/data", "loss/head/l1"} <= {*row}
    before = min(row["loss/data"], row["loss/head/data"])  # of whichever is called first
    assert row["train/loss"] == pytest.approx(before + row["loss/l1"] + row["loss/head/l1"], rel=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"plugins\.penalties.*adds nothing: set l1, l2, smoothness or own, such as l2 = 1e-4"),
        ({"l1": -1}, r"plugins\.penalties\.l1\.weight: .*got -1 .*at least 0"),
        ({"l1": math.nan}, r"plugins\.penalties\.l1\.weight: .*finite"),
        ({"l3": 1.0}, r"plugins\.penalties\.l3: unknown option\. There are: l1, l2, smoothness, own"),
        ({"l1": {"weight": 1.0, "parameter": ["x"]}}, r"l1\.parameter: unknown option\. Did you mean 'parameters'"),
        ({"smoothness": {"weight": 1.0, "order": 3}}, r"smoothness\.order: .*1 or 2"),
        ({"own": {"l1": "math:exp"}}, r"own: the name 'l1' is taken"),
        ({"own": {"size": 3}}, r"plugins\.penalties\.own\.size"),
        ({"own": {"size": "exp"}}, r"plugins\.penalties\.own\.size: 'exp' must be path/to/file\.py:function"),
        ({"own": {"size": "math:exq"}}, r"plugins\.penalties\.own\.size: 'math:exq': there is no 'exq' in math"),
        ({"own": {"size": "nowhere.py:f"}}, r"plugins\.penalties\.own\.size: there is no file 'nowhere\.py'"),
        (
            {"l1": {"weight": 1.0, "parameters": ["head.*"]}},
            r"l1: no parameter is called 'head\.\*'\. There are: 0\.weight",
        ),
    ],
)
def test_a_wrong_option_is_told_before_training(options, message, tiny_run):
    with pytest.raises((ConfigError, PluginHookError), match=message):
        fit(tiny_run, ("penalties", options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"smoothness": {"weight": 1.0, "dim": 2}},
            r"an output of shape \(4, 8\) has no dimension 2 to be time; set dim",
        ),
        ({"smoothness": {"weight": 1.0, "dim": 5}}, r"has no dimension 5"),
        ({"own": {"size": f"{__file__}:no_number"}}, r"no_number' returned a tensor of shape \(4, 8\)"),
    ],
)
def test_what_does_not_suit_ends_the_run_with_the_way_out(options, message, tiny_run):
    with pytest.raises(PluginHookError, match=message) as caught:
        fit(tiny_run, ("penalties", options))
    assert isinstance(caught.value.__cause__, LossError)


def test_too_few_times_are_told():
    with pytest.raises(LossError, match=r"has 2 times; order 2 needs 3 or more"):
        measures.difference(torch.zeros(3, 2), order=2)
