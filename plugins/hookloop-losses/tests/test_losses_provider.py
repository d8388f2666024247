"""The losses in a run: by name, with options, by the place of a function, and what is told when they are wrong."""

import subprocess
import sys

import pytest
import torch

import hookloop_losses
from hookloop import ConfigError, Engine, SupervisedTask
from hookloop.testing.tiny import tiny_task
from hookloop_losses import Focal, LossError

OPTIONS = {
    "focal": {"gamma": 1.0},
    "class_balanced": {"counts": [6, 6, 6]},
    "cost_sensitive_cross_entropy": {"costs": [[0, 1, 1], [2, 0, 1], [1, 1, 0]]},
    "label_smoothing": {},
    "group_balanced": {"loss": {"use": "focal", "gamma": 1.0}},
}


def margin(output, target, scale=1.0):
    return scale * torch.nn.functional.multi_margin_loss(output, target)


class Margin(torch.nn.Module):
    def forward(self, output, target):
        return margin(output, target)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_loss_by_name_trains(name, tiny_run):
    result = tiny_run(["losses"], loss=(name, OPTIONS[name]), epochs=8)
    losses = [row["train/loss"] for row in result.history if "train/loss" in row]
    assert losses[-1] < losses[0]
    assert result.metrics["val/loss"] > 0


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("precision", ["fp32", "bf16-mixed"])
def test_numbers_train_in_any_precision_without_being_read(device, precision, tiny_run):
    if (device, precision) == ("meta", "bf16-mixed"):
        pytest.skip("autocast does not know the meta device")
    batches = list(zip(torch.randn(4, 8, 3), torch.randn(4, 8, 1), strict=True))
    settings = {"log_every": "1000000 steps", "validate_every": "never"} if device == "meta" else {}
    for name in ("asymmetric_mse", "pinball", "linex", "huber"):
        task = SupervisedTask(torch.nn.Linear(3, 1), train=batches)
        if device == "meta":
            with pytest.raises((RuntimeError, NotImplementedError)):  # only at the end, where metrics are read
                tiny_run(["losses"], task=task, loss=name, device=device, epochs=1, **settings)
            assert task.run.step == 4
        else:
            result = tiny_run(["losses"], task=task, loss=name, precision=precision, **settings)
            assert result.outcome == "completed"


@pytest.mark.parametrize(
    "use", [f"{__file__}:margin", f"{__file__}:Margin", "torch.nn.functional:multi_margin_loss", margin]
)
def test_a_function_of_your_own_works_wherever_a_name_does(use, tiny_run):
    expected = tiny_run(["losses"], loss="multi_margin").metrics
    assert tiny_run(["losses"], loss=use).metrics == expected


def test_options_of_a_function_of_your_own_are_given_to_it(tiny_run):
    once, twice = (tiny_run(loss=(f"{__file__}:margin", {"scale": s}), steps=1, epochs=1) for s in (1.0, 2.0))
    assert twice.history[0]["train/loss"] == pytest.approx(2 * once.history[0]["train/loss"])


def test_the_classes_are_losses_without_a_plugin(tiny_run):
    by_class = tiny_run([], loss=(Focal, {"gamma": 1.0}))
    by_place = tiny_run([], loss=("hookloop_losses:Focal", {"gamma": 1.0}))
    by_name = tiny_run(["losses"], loss=("focal", {"gamma": 1.0}))
    assert by_class.metrics == by_place.metrics == by_name.metrics


def test_weights_and_groups_reach_the_loss_through_a_task(tiny_run):
    class Weighted(SupervisedTask):
        def loss(self, output, batch):
            return self.criterion(output, batch[1], weight=batch[2])

    plain = tiny_task()
    batches = [(x, y, (y != 2).float()) for x, y in plain.train_loader()]
    result = tiny_run(["losses"], task=Weighted(plain.model, train=batches), loss="focal", epochs=1)
    assert result.outcome == "completed"


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (("focal", {"gama": 1}), r"loss\.gama: unknown option\. Did you mean 'gamma'\? It takes: gamma, alpha"),
        (
            ("focal", {"gamma": -1}),
            r"loss\.use: 'focal' refuses its options: gamma: got -1, expected a number at least 0",
        ),
        (("class_balanced", {}), r"loss\.use: needs the option 'counts'"),
        (
            ("group_balanced", {"loss": "focall"}),
            r"'group_balanced' refuses its options: loss: there is no loss 'focall'",
        ),
        (("soft_margin", {"reduction": "all"}), r"'soft_margin' refuses its options: reduction: got 'all'"),
        ("foccal", r"there is no loss 'foccal'\. Did you mean 'focal'\?"),
    ],
)
def test_a_wrong_option_is_told_with_its_place(loss, message, tiny_run):
    with pytest.raises(ConfigError, match=message):
        tiny_run(["losses"], loss=loss)


def test_tensors_that_do_not_suit_end_the_run_with_the_way_out(tiny_run):
    with pytest.raises(LossError, match=r"the output has shape \(6, 3\) and the target \(6,\); they must be equal"):
        tiny_run(["losses"], loss="asymmetric_mse")


def test_it_is_on_by_being_installed():
    task = tiny_task()
    engine = Engine(task, loss="focal", optimizer=("sgd", {"lr": 0.1}), max_steps=1)
    assert "losses" in [each.instance for each in engine.plan().plugins]


def test_two_providers_of_the_same_names_are_an_error(tiny_run):
    with pytest.raises(ConfigError, match=r"is offered by '(losses|again)' .* and '(losses|again)'"):
        tiny_run(["losses", ("again", {"use": "losses"})], loss="focal")


def test_the_provider_is_read_without_torch_and_pydantic():
    code = (
        "import sys, hookloop_losses.plugin; assert not {'torch', 'pydantic'} & {*sys.modules}; "
        "import hookloop_losses.penalties; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_is_there():
    assert all(getattr(hookloop_losses, name) for name in dir(hookloop_losses))
    with pytest.raises(AttributeError, match="has no attribute 'Fokal'"):
        _ = hookloop_losses.Fokal
