"""Losses of overlap by hand, and masks that are empty or full."""

import pytest
import torch

from hookloop import ConfigError
from hookloop_losses import Dice, LossError, Tversky


def by_hand(p, t, alpha, beta, smooth):
    true, made_up, missed = (p * t).sum(-1), (p * (1 - t)).sum(-1), ((1 - p) * t).sum(-1)
    return 1 - (true + smooth) / (true + alpha * made_up + beta * missed + smooth)


def masks(classes=3):
    generator = torch.Generator().manual_seed(0)
    output = torch.randn(4, classes, 5, 6, generator=generator, dtype=torch.float64)
    return output, torch.randint(classes, (4, 5, 6), generator=generator)


def flat(output, target):
    one_hot = torch.nn.functional.one_hot(target, output.shape[1]).movedim(-1, 1).double()
    return output.softmax(1).flatten(2), one_hot.flatten(2)


def test_tversky_is_its_formula_for_each_mask():
    output, target = masks()
    expected = by_hand(*flat(output, target), 0.2, 0.8, 1.0)
    torch.testing.assert_close(Tversky(0.2, 0.8, reduction="none")(output, target), expected)
    torch.testing.assert_close(Tversky(0.2, 0.8)(output, target), expected.mean())


def test_dice_is_its_formula():
    output, target = masks()
    p, t = flat(output, target)
    expected = 1 - (2 * (p * t).sum(-1) + 1) / (p.sum(-1) + t.sum(-1) + 1)
    torch.testing.assert_close(Dice(reduction="none")(output, target), expected)


def test_of_a_whole_batch_the_sums_are_over_its_samples():
    output, target = masks()
    p, t = (each.movedim(1, 0).flatten(1) for each in flat(output, target))
    torch.testing.assert_close(Tversky(per="batch", reduction="none")(output, target), by_hand(p, t, 0.3, 0.7, 1.0))


@pytest.mark.parametrize("shape", [(4,), (4, 6), (4, 1, 5, 6)])
def test_one_score_each_is_one_mask_a_sample(shape):
    output, target = torch.randn(shape), torch.randint(2, shape).float()
    p, t = output.sigmoid().reshape(4, -1), target.reshape(4, -1)
    torch.testing.assert_close(Tversky(reduction="none")(output, target), by_hand(p, t, 0.3, 0.7, 1.0))


def test_dice_of_a_perfect_mask_is_zero_and_of_its_opposite_nearly_one():
    target = torch.tensor([[1.0, 0.0, 1.0, 0.0]])
    perfect = 1e4 * (2 * target - 1)
    assert Dice()(perfect, target).item() == 0
    assert Dice(smooth=0)(-perfect, target).item() == 1


def test_what_was_missed_costs_more_than_what_was_made_up():
    target = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    missed, made_up = torch.tensor([[9.0, -9, -9, -9]]), torch.tensor([[9.0, 9, 9, -9]])
    assert Tversky(0.3, 0.7)(missed, target) > Tversky(0.3, 0.7)(made_up, target)


@pytest.mark.parametrize("loss", [Dice(smooth=0), Tversky(smooth=0), Dice(), Tversky(), Dice(per="batch")])
@pytest.mark.parametrize("big", [1e4, float("inf")])
def test_empty_and_full_masks_have_finite_gradients(loss, big):
    for filled in (0.0, 1.0):
        for said in (-big, big):
            output = torch.full((2, 9), said, requires_grad=True)
            value = loss(output, torch.full((2, 9), filled))
            value.backward()
            assert value.isfinite()
            assert output.grad.isfinite().all()


@pytest.mark.parametrize("loss", [Dice(smooth=0), Tversky(smooth=0)])
def test_a_mask_that_is_empty_in_both_is_no_loss(loss):
    assert loss(torch.full((2, 9), -1e4), torch.zeros(2, 9)).item() == 0


def test_a_class_that_the_target_lacks_has_a_finite_loss():
    output = torch.randn(2, 3, 8, requires_grad=True)
    Dice()(output, torch.zeros(2, 8, dtype=torch.long)).backward()
    assert output.grad.isfinite().all()


@pytest.mark.parametrize("make", [Dice, Tversky])
def test_ignored_elements_count_for_nothing(make):
    output, target = masks()
    expected = make()(output[:, :, :3], target[:, :3])
    target[:, 3:] = -100
    output[:, :, 3:] = float("nan")
    output.requires_grad_()
    value = make()(output, target)
    value.backward()
    torch.testing.assert_close(value, expected)
    assert output.grad.isfinite().all()


def test_elements_of_no_weight_count_for_nothing():
    output, target = torch.randn(2, 6), torch.randint(2, (2, 6)).float()
    weight = torch.tensor([[1.0, 1, 1, 0, 0, 0]]).expand(2, 6)
    torch.testing.assert_close(Dice()(output, target, weight), Dice()(output[:, :3], target[:, :3]))


def test_a_weight_of_two_is_an_element_that_occurs_twice():
    output, target = torch.randn(2, 6), torch.randint(2, (2, 6)).float()
    doubled = Dice()(output, target, torch.full((2,), 2.0))
    torch.testing.assert_close(doubled, Dice()(output.repeat(1, 2), target.repeat(1, 2)))


def test_shapes_that_do_not_fit_are_told():
    with pytest.raises(LossError, match=r"Several classes are an output of"):
        Dice()(torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 5, dtype=torch.long))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Dice(smooth=-1), r"smooth: got -1, expected a number at least 0"),
        (lambda: Dice(per="image"), r"per: got 'image', expected one of 'sample', 'batch'"),
        (lambda: Tversky(alpha=0, beta=0), r"alpha: got 0, and beta as well"),
    ],
)
def test_a_wrong_option_is_told_by_name(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
