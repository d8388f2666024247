"""Torch's own losses by name, those of several tensors included."""

import inspect

import pytest
import torch
from torch import nn

from hookloop import ConfigError
from hookloop_losses import LossError
from hookloop_losses.catalog import OF_THE_ENGINE, OWN, all_factories, factories
from hookloop_losses.torchs import LAYERS, snake_case, torch_losses


def make(name, **options):
    return factories()[name](**options)


def absolute(one, other):
    return (one - other).abs().sum(-1)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("BCEWithLogits", "bce_with_logits"),
        ("CTC", "ctc"),
        ("KLDiv", "kl_div"),
        ("L1", "l1"),
        ("MultiLabelSoftMargin", "multi_label_soft_margin"),
        ("PoissonNLL", "poisson_nll"),
        ("SmoothL1", "smooth_l1"),
        ("TripletMarginWithDistance", "triplet_margin_with_distance"),
    ],
)
def test_names_are_in_snake_case(name, expected):
    assert snake_case(name) == expected


def test_every_loss_of_torch_has_a_name():
    classes = [
        value
        for name, value in vars(nn).items()
        if inspect.isclass(value) and name.endswith("Loss") and name not in LAYERS
    ]
    assert {*torch_losses().values()} == {*classes}
    assert len(classes) > 18


def test_each_is_offered_by_the_engine_or_by_the_plugin(tiny_run):
    with pytest.raises(ConfigError, match="Offered by the active plugins: ") as caught:
        tiny_run(["losses"], loss="nothing")
    offered = str(caught.value).partition("active plugins: ")[2].partition(".")[0].split(", ")
    assert {*torch_losses(), *OWN} <= {*offered}
    with pytest.raises(ConfigError, match="Offered by the active plugins: ") as caught:
        tiny_run([], loss="nothing")
    offered = str(caught.value).partition("active plugins: ")[2].partition(".")[0].split(", ")
    assert {*OF_THE_ENGINE} == {*offered} - {"huber"}


@pytest.mark.parametrize("name", ["poisson_nll", "soft_margin", "hinge_embedding", "multi_label_soft_margin"])
def test_a_loss_of_two_tensors_is_torchs(name):
    output = torch.randn(5, 3)
    target = torch.where(torch.rand(5, 3) > 0.5, 1.0, -1.0 if name in ("soft_margin", "hinge_embedding") else 0.0)
    assert torch.equal(make(name)(output, target), torch_losses()[name]()(output, target))


def test_options_are_those_of_torch():
    output, target = torch.randn(5, 3), torch.tensor([0, 1, 2, 2, 0])
    expected = nn.MultiMarginLoss(p=2, weight=torch.tensor([1.0, 2.0, 3.0]))(output, target)
    assert torch.equal(make("multi_margin", p=2, weight=[1, 2, 3])(output, target), expected)


def test_the_engines_names_can_be_below_others():
    assert isinstance(all_factories()["mse"](reduction="none"), nn.MSELoss)


def test_losses_of_several_tensors_take_them_from_output_and_target():
    one, two, three = torch.randn(3, 5, 4)
    sign = torch.tensor([1.0, -1, 1, 1, -1])
    assert torch.equal(make("cosine_embedding")((one, two), sign), nn.CosineEmbeddingLoss()(one, two, sign))
    first, second = one[:, 0], two[:, 0]
    assert torch.equal(make("margin_ranking")((first, second), sign), nn.MarginRankingLoss()(first, second, sign))
    assert torch.equal(make("triplet_margin")((one, two, three), None), nn.TripletMarginLoss()(one, two, three))
    var = three.square()
    assert torch.equal(make("gaussian_nll")((one, var), two), nn.GaussianNLLLoss()(one, two, var))


def test_ctc_takes_the_lengths_with_the_target():
    output = torch.randn(10, 2, 5).log_softmax(-1)
    target = torch.randint(1, 5, (2, 3)), torch.tensor([10, 8]), torch.tensor([3, 2])
    assert torch.equal(make("ctc")(output, target), nn.CTCLoss()(output, *target))


def test_a_distance_of_your_own_is_named_by_its_place():
    one, two, three = torch.randn(3, 5, 4)
    loss = make("triplet_margin_with_distance", distance_function=f"{__file__}:absolute")
    expected = nn.TripletMarginWithDistanceLoss(distance_function=absolute)(one, two, three)
    assert torch.equal(loss((one, two, three), None), expected)


def test_a_wrong_number_of_tensors_is_told():
    with pytest.raises(LossError, match="triplet_margin takes 3 tensors as the output, a tuple of 3, and got 2"):
        make("triplet_margin")((torch.zeros(2, 2), torch.zeros(2, 2)), None)
    with pytest.raises(LossError, match="ctc takes 3 tensors as the target, a tuple of 3, and got 1"):
        make("ctc")(torch.zeros(2, 2, 2), torch.zeros(2, 2))


def test_a_reduction_that_torch_does_not_know_is_refused_before_training():
    with pytest.raises(ValueError, match="reduction: got 'average', expected one of 'none', 'mean', 'sum'"):
        make("soft_margin", reduction="average")


def test_the_options_that_are_checked_are_torchs():
    assert "margin" in inspect.signature(factories()["triplet_margin"]).parameters
    assert "gamma" in inspect.signature(factories()["focal"]).parameters
