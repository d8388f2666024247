"""Each group counts alike, whatever loss is below."""

import pytest
import torch
from torch.nn import functional

from hookloop import ConfigError
from hookloop_losses import Focal, GroupBalanced, LossError

OUTPUT = torch.tensor([1.0, 2.0, 3.0, 4.0])
GROUP = torch.tensor([7, 7, 7, 2])


def squared(output, target, factor=1.0):
    return factor * (output - target).square()


class Absolute(torch.nn.Module):
    def __init__(self, reduction="mean"):
        super().__init__()
        self.reduction = reduction

    def forward(self, output, target):
        return functional.l1_loss(output, target, reduction=self.reduction)


def test_it_is_the_mean_of_the_means_of_groups():
    value = GroupBalanced("mse")(OUTPUT, torch.zeros(4), GROUP)
    assert value.item() == pytest.approx(((1 + 4 + 9) / 3 + 16) / 2)


def test_the_sum_is_over_groups_and_none_is_a_value_a_sample():
    values = GroupBalanced("mse", reduction="none")(OUTPUT, torch.zeros(4), GROUP)
    assert values.tolist() == pytest.approx([1 / 3, 4 / 3, 3.0, 16.0])
    assert GroupBalanced("mse", reduction="sum")(OUTPUT, torch.zeros(4), GROUP).item() == pytest.approx(14 / 3 + 16)


def test_one_group_is_the_plain_mean():
    value = GroupBalanced("mse")(OUTPUT, torch.zeros(4), torch.zeros(4))
    torch.testing.assert_close(value, functional.mse_loss(OUTPUT, torch.zeros(4)))


def test_without_groups_the_classes_are_groups():
    output, target = torch.randn(20, 3), torch.tensor([0] * 15 + [1] * 4 + [2])
    means = [functional.cross_entropy(output[target == c], target[target == c]) for c in range(3)]
    torch.testing.assert_close(GroupBalanced()(output, target), torch.stack(means).mean())


def test_weights_count_within_a_group():
    value = GroupBalanced("mse")(OUTPUT, torch.zeros(4), GROUP, torch.tensor([1.0, 0.0, 3.0, 9.0]))
    assert value.item() == pytest.approx(((1 + 27) / 4 + 16) / 2)


def test_a_group_without_weight_counts_for_nothing():
    value = GroupBalanced("mse")(OUTPUT, torch.zeros(4), GROUP, torch.tensor([1.0, 1.0, 1.0, 0.0]))
    assert value.item() == pytest.approx(14 / 3)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("l1", (2 + 4) / 2),
        ({"use": "huber", "delta": 0.5}, (0.5 * 1.75 + 0.5 * 3.75) / 2),
        (squared, (14 / 3 + 16) / 2),
        (Absolute, 3.0),
        (f"{__file__}:squared", (14 / 3 + 16) / 2),
        ({"use": f"{__file__}:squared", "factor": 2.0}, 14 / 3 + 16),
        (f"{__file__}:Absolute", 3.0),
        ("torch.nn:L1Loss", 3.0),
    ],
)
def test_any_loss_may_be_below_by_name_or_by_place(loss, expected):
    assert GroupBalanced(loss)(OUTPUT, torch.zeros(4), GROUP).item() == pytest.approx(expected)


def test_elements_of_a_sample_are_averaged_first():
    output, target = torch.randn(4, 3, 5), torch.randint(3, (4, 5))
    values = Focal(reduction="none")(output, target).mean(1)
    expected = (values[:3].mean() + values[3]) / 2
    torch.testing.assert_close(GroupBalanced("focal")(output, target, GROUP), expected)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ("focall", r"loss: there is no loss 'focall'\. There are: .*focal"),
        (3, r"loss: got 3; give a name"),
        ({"gamma": 1}, r"loss: got \{'gamma': 1\}; give a name"),
        ({"use": "focal", "gama": 1}, r"loss: .*gama"),
        ("nowhere.py:loss", r"there is no file 'nowhere\.py'"),
        ("no_such_module:loss", r"there is no module 'no_such_module'"),
        ("torch.nn:NoLoss", r"there is no 'NoLoss' in torch\.nn"),
    ],
)
def test_a_loss_that_is_not_there_is_told(loss, message):
    with pytest.raises(ConfigError, match=message):
        GroupBalanced(loss)


def test_numbers_are_no_groups():
    with pytest.raises(LossError, match=r"needs groups: a target of torch\.float32 .* the third argument"):
        GroupBalanced("mse")(OUTPUT, torch.zeros(4))


def test_a_loss_of_one_value_is_refused():
    with pytest.raises(LossError, match=r"gave a tensor of shape \(\) for 4 groups; it must give one value a sample"):
        GroupBalanced(functional.mse_loss)(OUTPUT, torch.zeros(4), GROUP)


def test_a_weight_of_another_shape_is_refused():
    with pytest.raises(LossError, match=r"the weight has shape \(3,\) and the group \(4,\)"):
        GroupBalanced("mse")(OUTPUT, torch.zeros(4), GROUP, torch.ones(3))
