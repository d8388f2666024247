import pytest
import torch
from torch.nn import functional

from hookloop.builtin.defaults import LOSSES, PLAIN_LOSSES, Defaults, loss_factory
from hookloop.components import check_options, read_component
from hookloop.config import ConfigTree
from hookloop.errors import ConfigError

SCORES, CLASSES = torch.tensor([[2.0, 0.5, -1.0], [0.1, 0.2, 0.3]]), torch.tensor([0, 2])
NUMBERS = torch.tensor([0.5, 2.0])


def inputs_of(name):
    """Return an output and a target that suit the loss."""
    if name in ("cross_entropy", "nll"):
        return SCORES.log_softmax(1), CLASSES
    if name == "bce":
        return torch.tensor([0.2, 0.9]), torch.tensor([0.0, 1.0])
    return NUMBERS, torch.tensor([0.0, 1.0])


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "kl_div"])
def test_a_loss_by_name_is_torchs(name):
    output, target = inputs_of(name)
    assert torch.equal(loss_factory(name)()(output, target), LOSSES[name]()(output, target))


def test_the_divergence_is_torchs():
    output, target = SCORES.log_softmax(1), SCORES.softmax(1).flip(0)
    loss = loss_factory("kl_div")(reduction="batchmean")
    assert torch.equal(loss(output, target), functional.kl_div(output, target, reduction="batchmean"))


@pytest.mark.parametrize("name", PLAIN_LOSSES)
def test_without_options_the_commonest_losses_are_bare_functions(name):
    assert not isinstance(loss_factory(name)(), torch.nn.Module)


@pytest.mark.parametrize("weight", [[1, 2, 3], (1.0, 2.0, 3.0), torch.tensor([1.0, 2.0, 3.0])])
def test_class_weights_may_be_a_list(weight):
    loss = loss_factory("cross_entropy")(weight=weight, label_smoothing=0.1)
    expected = functional.cross_entropy(SCORES, CLASSES, torch.tensor([1.0, 2.0, 3.0]), label_smoothing=0.1)
    assert torch.equal(loss(SCORES, CLASSES), expected)


def test_the_weight_of_the_positive_class_may_be_a_list():
    loss = loss_factory("bce_with_logits")(pos_weight=[3])
    expected = functional.binary_cross_entropy_with_logits(NUMBERS, NUMBERS, pos_weight=torch.tensor([3.0]))
    assert torch.equal(loss(NUMBERS, NUMBERS), expected)


def test_the_options_of_a_loss_are_those_of_torchs_class():
    component = read_component(ConfigTree.from_python({"loss": {"use": "huber", "delte": 2.0}}), ("loss",))
    assert component is not None
    with pytest.raises(
        ConfigError, match=r"loss\.delte: unknown option\. Did you mean 'delta'\? It takes: reduction, d"
    ):
        check_options(component, loss_factory("huber"))


def test_weights_that_are_no_numbers_are_refused_by_name(tiny_run):
    with pytest.raises(ConfigError, match=r"loss\.use: 'cross_entropy' refuses its options: .*'str'"):
        tiny_run(loss=("cross_entropy", {"weight": "balanced"}))


def test_a_loss_with_weights_trains(tiny_run):
    plain, weighted = (tiny_run(loss=("cross_entropy", {"weight": each}), epochs=1) for each in ([1, 1, 1], [9, 1, 1]))
    assert plain.metrics == tiny_run(loss="cross_entropy", epochs=1).metrics
    assert weighted.metrics["train/loss"] != plain.metrics["train/loss"]


def test_optimizers_are_those_of_torch_that_need_gradients_alone():
    offered = Defaults().provide_optimizers()
    assert {"adam", "adamw", "sgd", "rmsprop", "adagrad"} <= set(offered)
    assert offered["adamw"] is torch.optim.AdamW
    assert all(issubclass(each, torch.optim.Optimizer) for each in offered.values())
    assert not {"lbfgs", "optimizer"} & set(offered)


def test_schedules_and_metrics_are_offered_by_name():
    assert set(Defaults().provide_schedules()) == {"constant", "step", "exponential", "linear", "cosine"}
    assert set(Defaults().provide_metrics()) == {"accuracy"}
