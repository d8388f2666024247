"""Losses of numbers against numbers by hand, torch, scikit-learn and scipy."""

import math

import pytest
import torch
from torch.nn import functional

from hookloop import ConfigError
from hookloop_losses import AsymmetricMSE, Huber, Linex, LossError, Pinball

OUTPUT = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
TARGET = torch.tensor([2.0, 0.0, 3.0, 4.5], dtype=torch.float64)  # errors 1, -2, 0, 0.5


def random_pair(count=200):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, count, generator=generator, dtype=torch.float64)


def test_too_little_predicted_weighs_alpha():
    values = AsymmetricMSE(alpha=3, reduction="none")(OUTPUT, TARGET)
    assert values.tolist() == [3.0, 4.0, 0.0, 0.75]
    assert AsymmetricMSE(alpha=3)(OUTPUT, TARGET).item() == 7.75 / 4


def test_the_gradient_of_the_asymmetric_error_is_that_of_the_formula():
    output = OUTPUT.clone().requires_grad_()
    AsymmetricMSE(alpha=3, reduction="sum")(output, TARGET).backward()
    assert output.grad.tolist() == [-6.0, 4.0, 0.0, -3.0]


def test_the_best_constant_of_the_asymmetric_error_is_the_expectile():
    expectile = pytest.importorskip("scipy.stats", exc_type=ImportError).expectile
    _, target = random_pair()
    constant = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([constant], max_iter=100, tolerance_grad=1e-12, tolerance_change=1e-15)

    def closure():
        optimizer.zero_grad()
        loss = AsymmetricMSE(alpha=4)(constant.expand(target.shape), target)
        loss.backward()
        return loss

    for _ in range(5):
        optimizer.step(closure)
    assert constant.item() == pytest.approx(expectile(target.numpy(), alpha=0.8), abs=1e-6)


def test_alpha_is_not_rounded_in_double_precision():
    assert AsymmetricMSE(alpha=0.1)(torch.zeros(1).double(), torch.ones(1).double()).item() == 0.1


def test_alpha_of_one_is_the_mean_squared_error():
    output, target = random_pair()
    torch.testing.assert_close(AsymmetricMSE(alpha=1)(output, target), functional.mse_loss(output, target))


def test_pinball_by_hand():
    values = Pinball(quantile=0.9, reduction="none")(OUTPUT, TARGET)
    torch.testing.assert_close(values, torch.tensor([0.9, 0.2, 0.0, 0.45], dtype=torch.float64))


@pytest.mark.parametrize("quantile", [0.05, 0.5, 0.9])
def test_pinball_is_scikit_learns(quantile):
    metrics = pytest.importorskip("sklearn.metrics", exc_type=ImportError)
    output, target = random_pair()
    expected = metrics.mean_pinball_loss(target.numpy(), output.numpy(), alpha=quantile)
    assert Pinball(quantile)(output, target).item() == pytest.approx(expected, rel=1e-12)


def test_several_quantiles_are_the_mean_of_each():
    output, target = torch.randn(6, 3, dtype=torch.float64), torch.randn(6, dtype=torch.float64)
    quantiles = [0.25, 0.5, 0.75]
    apart = [Pinball(q)(output[:, i], target) for i, q in enumerate(quantiles)]
    torch.testing.assert_close(Pinball(quantiles)(output, target), torch.stack(apart).mean())


def test_several_quantiles_want_an_output_for_each():
    with pytest.raises(LossError, match=r"2 quantiles of such a target are an output of \(6, 2\)"):
        Pinball([0.1, 0.9])(torch.zeros(6, 3), torch.zeros(6))


def test_linex_by_hand():
    values = Linex(a=0.5, b=2.0, reduction="none")(OUTPUT, TARGET)
    expected = [2 * (math.exp(0.5 * e) - 0.5 * e - 1) for e in (1, -2, 0, 0.5)]
    assert values.tolist() == pytest.approx(expected, abs=1e-14)


def test_the_sign_of_a_says_which_side_is_costly():
    little, much = torch.tensor([1.0]), torch.tensor([-1.0])
    zero = torch.zeros(1)
    assert Linex(a=1.0)(zero, little) > Linex(a=1.0)(zero, much)
    assert Linex(a=-1.0)(zero, little) < Linex(a=-1.0)(zero, much)


def test_beyond_its_limit_linex_goes_on_as_a_tangent():
    output = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    values = Linex(limit=3.0, reduction="none")(output, torch.tensor([3.0, 5.0], dtype=torch.float64))
    steep = math.exp(3) - 1
    assert values.tolist() == pytest.approx([math.exp(3) - 4, math.exp(3) - 4 + 2 * steep])
    values.sum().backward()
    assert output.grad.tolist() == pytest.approx([-steep, -steep])


@pytest.mark.parametrize("delta", [0.5, 1.0, 2.0])
def test_huber_is_torchs(delta):
    output, target = random_pair()
    torch.testing.assert_close(Huber(delta)(output, target), functional.huber_loss(output, target, delta=delta))


@pytest.mark.parametrize("loss", [AsymmetricMSE(), Pinball(), Linex(), Huber()])
def test_an_infinite_error_has_no_gradient_of_nan(loss):
    output = torch.tensor([math.inf, -math.inf, 1e30, -1e30, 0.0], requires_grad=True)
    value = loss(output, torch.zeros(5))
    value.backward()
    assert value == math.inf or value > 1e20
    assert not output.grad.isnan().any()


@pytest.mark.parametrize("loss", [AsymmetricMSE(), Pinball(), Linex(), Huber()])
def test_shapes_that_would_be_broadcast_are_refused(loss):
    with pytest.raises(LossError, match=r"\(4, 1\) and the target \(4,\); they must be equal\. Take .* squeeze\(-1\)"):
        loss(torch.zeros(4, 1), torch.zeros(4))


def test_whole_numbers_are_targets_too():
    assert AsymmetricMSE()(torch.zeros(2), torch.tensor([1, -1])).item() == 2.5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AsymmetricMSE(alpha=0), r"alpha: got 0, expected a number above 0"),
        (lambda: AsymmetricMSE(alpha="4"), r"alpha: got '4', expected a finite number"),
        (
            lambda: AsymmetricMSE(reduction="average"),
            r"reduction: got 'average', expected one of 'none', 'mean', 'sum'",
        ),
        (lambda: Pinball(1.0), r"quantile: got 1\.0, expected a number above 0 and below 1"),
        (lambda: Pinball([0.1, 2]), r"quantile\[1\]: got 2, expected"),
        (lambda: Pinball([]), r"quantile: got \[\], expected a list of numbers"),
        (lambda: Linex(a=0), r"a: got 0, which is no loss"),
        (lambda: Linex(limit=1000), r"limit: got 1000, expected a number at most 80 and above 0"),
        (lambda: Huber(delta=math.nan), r"delta: got nan, expected a finite number"),
    ],
)
def test_a_wrong_option_is_told_by_name(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
