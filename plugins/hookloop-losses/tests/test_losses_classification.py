"""Losses of classes against numbers by hand, torch and scikit-learn."""

import math

import pytest
import torch
from torch.nn import functional

from hookloop import ConfigError
from hookloop_losses import ClassBalanced, CostSensitiveCrossEntropy, Focal, LabelSmoothing, LossError

COSTS = [[0, 1, 2], [5, 0, 1], [10, 3, 0]]


def scores(classes=3, count=50, *shape):
    generator = torch.Generator().manual_seed(classes)
    output = 3 * torch.randn(count, classes, *shape, generator=generator, dtype=torch.float64)
    return output, torch.randint(classes, (count, *shape), generator=generator)


def test_costs_by_hand():
    output = torch.tensor([[0.2, 0.3, 0.5]], dtype=torch.float64).log()
    value = CostSensitiveCrossEntropy(COSTS)(output, torch.tensor([1]))
    assert value.item() == pytest.approx(-5 * math.log(0.8) - 1 * math.log(0.5))


def test_with_two_classes_costs_are_the_weights_of_the_cross_entropy():
    output, target = scores(2)
    weight = torch.tensor([1.0, 10.0], dtype=torch.float64)
    expected = functional.cross_entropy(output, target, weight, reduction="none")
    values = CostSensitiveCrossEntropy([[0, 1], [10, 0]], reduction="none")(output, target)
    torch.testing.assert_close(values, expected)


def test_the_likeliest_class_is_the_one_of_least_expected_cost():
    frequency = torch.tensor([0.65, 0.28, 0.07], dtype=torch.float64)
    logits = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=200, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        values = CostSensitiveCrossEntropy(COSTS, reduction="none")(logits.expand(3, 3), torch.arange(3))
        loss = (frequency * values).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    cost = frequency @ torch.tensor(COSTS, dtype=torch.float64)
    complement = 1 - logits.detach().softmax(1)[0]
    assert cost.argmin() != frequency.argmax()
    assert complement.argmin() == cost.argmin()
    torch.testing.assert_close(complement / complement.sum(), cost / cost.sum(), rtol=1e-4, atol=1e-4)


def test_focal_by_hand():
    output = torch.tensor([[0.2, 0.3, 0.5]], dtype=torch.float64).log()
    assert Focal(gamma=2)(output, torch.tensor([1])).item() == pytest.approx(-(0.7**2) * math.log(0.3))
    weighted = Focal(gamma=1, alpha=[1, 4, 1])(output, torch.tensor([1]))
    assert weighted.item() == pytest.approx(-4 * 0.7 * math.log(0.3))


def test_focal_of_one_score_by_hand():
    p = 1 / (1 + math.exp(-0.7))
    value = Focal(gamma=2, alpha=0.25, reduction="none")(torch.tensor([0.7, 0.7]), torch.tensor([1.0, 0.0]))
    expected = [-0.25 * (1 - p) ** 2 * math.log(p), -0.75 * p**2 * math.log(1 - p)]
    assert value.tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("shape", [(), (4,), (3, 2)])
def test_focal_without_focus_is_the_cross_entropy(shape):
    output, target = scores(4, 20, *shape)
    torch.testing.assert_close(Focal(gamma=0)(output, target), functional.cross_entropy(output, target))


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_focal_is_its_formula(gamma):
    output, target = scores(5)
    p = output.softmax(1).gather(1, target[:, None])[:, 0]
    torch.testing.assert_close(Focal(gamma)(output, target), (-((1 - p) ** gamma) * p.log()).mean())


@pytest.mark.parametrize("gamma", [0.1, 0.5, 1.0, 2.0])
def test_the_gradient_of_focal_is_finite_where_the_answer_is_certain(gamma):
    output = torch.tensor([[1e4, 0.0, -1e4], [200.0, 0.0, 0.0]], requires_grad=True)
    Focal(gamma)(output, torch.tensor([0, 0])).backward()
    assert output.grad.isfinite().all()


def test_balanced_weights_by_hand():
    loss = ClassBalanced(counts=[100, 10], beta=0.9)
    raw = [0.1 / (1 - 0.9**100), 0.1 / (1 - 0.9**10)]
    assert loss.class_weight.tolist() == pytest.approx([2 * each / sum(raw) for each in raw], rel=1e-6)


def test_at_the_limit_weights_are_scikit_learns():
    compute = pytest.importorskip("sklearn.utils.class_weight", exc_type=ImportError).compute_class_weight
    numpy = pytest.importorskip("numpy")
    labels = [0] * 50 + [1] * 5 + [2] * 20
    expected = torch.tensor(compute("balanced", classes=numpy.arange(3), y=labels), dtype=torch.float32)
    weights = ClassBalanced(counts=[50, 5, 20], beta=1).class_weight
    torch.testing.assert_close(weights / weights.sum(), expected / expected.sum())


@pytest.mark.parametrize("beta", [0, 0.9, 0.9999, 1])
def test_class_balanced_is_torchs_weighted_cross_entropy(beta):
    output, target = scores()
    loss = ClassBalanced(counts=[50, 5, 20], beta=beta)
    expected = functional.cross_entropy(output, target, loss.class_weight.double())
    torch.testing.assert_close(loss(output, target), expected)


def test_a_class_that_never_occurs_weighs_nothing():
    assert ClassBalanced(counts=[10, 0, 10], beta=1).class_weight.tolist() == [1.0, 0.0, 1.0]


@pytest.mark.parametrize("shape", [(), (4,)])
def test_label_smoothing_is_torchs(shape):
    output, target = scores(4, 20, *shape)
    expected = functional.cross_entropy(output, target, label_smoothing=0.2)
    torch.testing.assert_close(LabelSmoothing(0.2)(output, target), expected)


def test_label_smoothing_of_one_score_is_that_of_two_classes():
    output, target = scores(2)
    one = LabelSmoothing(0.2)(output[:, 1] - output[:, 0], target)
    torch.testing.assert_close(one, LabelSmoothing(0.2)(output, target))


LOSSES = [
    CostSensitiveCrossEntropy([[0, 1], [10, 0]]),
    Focal(alpha=[0.5, 2]),
    ClassBalanced([9, 1], gamma=1.0),
    LabelSmoothing(),
]


@pytest.mark.parametrize("loss", LOSSES)
def test_one_score_is_as_good_as_two(loss):
    output, target = scores(2)
    torch.testing.assert_close(loss(output[:, 1] - output[:, 0], target), loss(output, target))


@pytest.mark.parametrize("loss", LOSSES)
def test_ignored_targets_count_for_nothing(loss):
    output, target = scores(2)
    expected = loss(output[10:], target[10:])
    output = output.clone().requires_grad_()
    ignored = target.clone()
    ignored[:10] = -100
    with torch.no_grad():
        output[:10] = math.nan
    value = loss(output, ignored)
    value.backward()
    torch.testing.assert_close(value, expected)
    assert output.grad[:10].eq(0).all()
    assert output.grad.isfinite().all()


@pytest.mark.parametrize("loss", LOSSES)
def test_a_batch_of_which_all_is_ignored_has_a_loss_of_zero(loss):
    output = torch.randn(3, 2, requires_grad=True)
    value = loss(output, torch.full((3,), -100))
    value.backward()
    assert (value.item(), output.grad.abs().sum().item()) == (0.0, 0.0)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("big", [1e4, 1e30, math.inf])
def test_certain_and_impossible_classes_have_finite_gradients(loss, big):
    output = torch.tensor([[big, -big], [-big, big], [0.0, -big]], requires_grad=True)
    for target in ([0, 1, 0], [1, 0, 1]):
        value = loss(output, torch.tensor(target))
        output.grad = None
        value.backward()
        assert value.isfinite()
        assert output.grad.isfinite().all()
    score = torch.tensor([big, -big, big], requires_grad=True)
    loss(score, torch.tensor([1.0, 1.0, 0.0])).backward()
    assert score.grad.isfinite().all()


@pytest.mark.parametrize("loss", LOSSES)
def test_a_score_of_nan_is_not_hidden(loss):
    assert loss(torch.tensor([[math.nan, 0.0]]), torch.tensor([1])).isnan()


@pytest.mark.parametrize(
    ("output", "target", "message"),
    [
        ((4, 1), (4,), r"one class\. One score a sample is .* squeeze\(1\)"),
        ((4, 3), (5,), r"Several classes are an output of \(N, C\)"),
        ((4, 3, 2), (4, 3), r"Several classes are"),
    ],
)
def test_shapes_that_do_not_fit_are_told(output, target, message):
    with pytest.raises(LossError, match=message):
        Focal()(torch.zeros(output), torch.zeros(target, dtype=torch.long))


def test_class_numbers_must_be_whole():
    with pytest.raises(LossError, match=r"the target is of torch\.float32; with 3 classes it must hold their numbers"):
        Focal()(torch.zeros(4, 3), torch.zeros(4))


@pytest.mark.parametrize("loss", [CostSensitiveCrossEntropy(COSTS), ClassBalanced([1, 2, 3]), Focal(alpha=[1, 1, 1])])
def test_options_for_another_number_of_classes_are_told(loss):
    with pytest.raises(LossError, match=r"is for 3 classes, but the output has 4"):
        loss(torch.zeros(2, 4), torch.tensor([0, 1]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CostSensitiveCrossEntropy(5), r"costs: got 5, expected a list of rows"),
        (lambda: CostSensitiveCrossEntropy([[0, 1], [1]]), r"costs\[1\]: has 1 numbers, but there are 2 rows"),
        (lambda: CostSensitiveCrossEntropy([[0, 1], [1, 2]]), r"costs\[1\]\[1\]: got 2, but what is right costs 0"),
        (
            lambda: CostSensitiveCrossEntropy([[0, -1], [1, 0]]),
            r"costs\[0\]\[1\]: got -1, expected a number at least 0",
        ),
        (lambda: Focal(gamma=-1), r"gamma: got -1, expected a number at least 0"),
        (lambda: Focal(alpha=2), r"alpha: got 2, expected a number at least 0 and at most 1"),
        (lambda: Focal(ignore_index="x"), r"ignore_index: got 'x', expected a whole number"),
        (lambda: ClassBalanced([]), r"counts: got \[\], expected a list of numbers"),
        (lambda: ClassBalanced([0, 0]), r"counts: all are 0"),
        (lambda: ClassBalanced([1, 2], beta=1.1), r"beta: got 1\.1, expected a number at least 0 and at most 1"),
        (lambda: LabelSmoothing(1), r"smoothing: got 1, expected a number at least 0 and below 1"),
    ],
)
def test_a_wrong_option_is_told_by_name(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
