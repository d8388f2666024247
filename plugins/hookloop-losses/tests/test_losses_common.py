"""What all losses of the package keep: gradients, reductions, weights, precision, compilation, devices."""

import pytest
import torch

from hookloop_losses import (
    AsymmetricMSE,
    ClassBalanced,
    CostSensitiveCrossEntropy,
    Dice,
    Focal,
    GroupBalanced,
    Huber,
    LabelSmoothing,
    Linex,
    LossError,
    Pinball,
    Tversky,
)
from hookloop_losses.catalog import OWN

COSTS = [[0, 1, 2], [5, 0, 1], [10, 3, 0]]
N = 6


def numbers():
    generator = torch.Generator().manual_seed(3)
    return torch.randn(2, N, 4, generator=generator, dtype=torch.float64).unbind()


def quantiles():
    output, target = numbers()
    return output, target[:, 0]


def classes():
    return numbers()[0][:, :3], torch.tensor([0, 1, 2, 2, 1, 0])


def pixels():
    generator = torch.Generator().manual_seed(4)
    output = torch.randn(N, 3, 2, generator=generator, dtype=torch.float64)
    return output, torch.randint(3, (N, 2), generator=generator)


def scores():
    output, target = numbers()
    return output, (target > 0).double()


# name -> how to make it, with which data, and how many dimensions a value each element has
CASES = {
    "asymmetric_mse": (AsymmetricMSE, numbers),
    "pinball": (lambda **options: Pinball(0.8, **options), numbers),
    "pinball-several": (lambda **options: Pinball([0.1, 0.5, 0.6, 0.9], **options), quantiles),
    "linex": (Linex, numbers),
    "linex-limit": (lambda **options: Linex(limit=0.3, **options), numbers),
    "huber": (Huber, numbers),
    "cost_sensitive_cross_entropy": (lambda **options: CostSensitiveCrossEntropy(COSTS, **options), classes),
    "cost_sensitive_cross_entropy-pixels": (lambda **options: CostSensitiveCrossEntropy(COSTS, **options), pixels),
    "cost_sensitive_cross_entropy-scores": (
        lambda **options: CostSensitiveCrossEntropy([[0, 1], [9, 0]], **options),
        scores,
    ),
    "focal": (lambda **options: Focal(0.5, [1, 2, 3], **options), classes),
    "focal-pixels": (Focal, pixels),
    "focal-scores": (lambda **options: Focal(alpha=0.3, **options), scores),
    "class_balanced": (lambda **options: ClassBalanced([9, 3, 1], gamma=1.0, **options), classes),
    "class_balanced-scores": (lambda **options: ClassBalanced([9, 3], **options), scores),
    "label_smoothing": (LabelSmoothing, classes),
    "label_smoothing-scores": (LabelSmoothing, scores),
    "group_balanced": (GroupBalanced, classes),
    "dice": (Dice, pixels),
    "dice-scores": (Dice, scores),
    "tversky": (Tversky, pixels),
    "tversky-batch": (lambda **options: Tversky(per="batch", smooth=0, **options), scores),
}
WEIGHTED = [name for name in CASES if not name.startswith(("dice", "tversky", "group_balanced"))]

each_case = pytest.mark.parametrize("case", CASES)
each_weighted_case = pytest.mark.parametrize("case", WEIGHTED)


def test_every_loss_is_among_the_cases():
    assert {name.partition("-")[0] for name in CASES} == {*OWN}


@each_case
def test_gradients_are_those_of_the_function(case):
    make, data = CASES[case]
    output, target = (each[:3] for each in data())
    loss = make(reduction="none")
    assert torch.autograd.gradcheck(lambda x: loss(x, target), output.clone().requires_grad_())


@each_case
def test_reductions_are_the_mean_and_the_sum_of_what_none_gives(case):
    make, data = CASES[case]
    output, target = data()
    values, mean, total = (make(reduction=each)(output, target) for each in ("none", "mean", "sum"))
    assert (mean.shape, total.shape) == ((), ())
    torch.testing.assert_close(total, values.sum())
    if not case.startswith(("class_balanced", "group_balanced")):  # whose means are weighted
        torch.testing.assert_close(mean, values.mean())


@each_weighted_case
def test_weights_are_how_often_a_sample_counts(case):
    make, data = CASES[case]
    output, target = data()
    often = torch.tensor([0, 1, 2, 3, 1, 0])
    weighted = make()(output, target, often)
    repeated = make()(output.repeat_interleave(often, 0), target.repeat_interleave(often, 0))
    torch.testing.assert_close(weighted, repeated)


@each_weighted_case
def test_what_weighs_nothing_may_be_nan(case):
    make, data = CASES[case]
    output, target = data()
    weight = torch.tensor([1.0, 0, 1, 0, 1, 1])
    expected = make()(output, target, weight)
    spoilt = output.clone()
    spoilt[1], spoilt[3] = float("nan"), float("inf")
    spoilt.requires_grad_()
    value = make()(spoilt, target, weight)
    value.backward()
    torch.testing.assert_close(value, expected)
    assert spoilt.grad[[1, 3]].eq(0).all()
    assert spoilt.grad.isfinite().all()


@each_weighted_case
def test_no_weight_at_all_is_a_loss_of_zero(case):
    make, data = CASES[case]
    output, target = data()
    output = output.clone().requires_grad_()
    value = make()(output, target, torch.zeros(N))
    value.backward()
    assert (value.item(), output.grad.abs().sum().item()) == (0.0, 0.0)


@pytest.mark.parametrize("case", [name for name in CASES if not name.startswith("group_balanced")])
def test_a_weight_of_another_shape_is_refused(case):
    make, data = CASES[case]
    with pytest.raises(LossError, match=r"the weight has shape \(5,\), which is not how .* begins"):
        make()(*data(), torch.ones(N - 1))


@each_case
def test_an_empty_batch_is_a_loss_of_zero(case):
    make, data = CASES[case]
    output, target = data()
    assert make()(output[:0], target[:0]).item() == 0


@each_case
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(case, dtype):
    make, data = CASES[case]
    output, target = data()
    low = output.to(dtype).requires_grad_()
    expected = make()(low.detach().double(), target)
    value = make()(low, target.to(dtype) if target.is_floating_point() else target)
    value.backward()
    assert value.dtype == torch.float32
    torch.testing.assert_close(value.double(), expected, rtol=1e-2, atol=1e-3)
    assert low.grad.dtype == dtype
    assert low.grad.isfinite().all()


@each_case
def test_autocast_does_not_lower_the_precision(case):
    make, data = CASES[case]
    output, target = data()
    loss = make()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(output.float(), target)
    torch.testing.assert_close(value, loss(output.float(), target), rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    "case", [name for name in CASES if not name.endswith(("-pixels", "-limit", "-several", "-scores", "-batch"))]
)
def test_it_can_be_compiled_in_one_graph(case):
    make, data = CASES[case]
    output, target = data()
    loss, compiled = make(), torch.compile(make(), backend="aot_eager", fullgraph=True)
    one, two = output.clone().requires_grad_(), output.clone().requires_grad_()
    values = compiled(one, target), loss(two, target)
    torch.testing.assert_close(*values)
    for value in values:
        value.backward()
    torch.testing.assert_close(one.grad, two.grad)


@each_case
def test_no_tensor_is_read(case):
    make, data = CASES[case]
    output, target = (each.to("meta") for each in data())
    output.requires_grad_()
    make().to("meta")(output, target).backward()
    assert output.grad.shape == output.shape
