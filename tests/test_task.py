from dataclasses import dataclass

import pytest
import torch
from torch.nn.functional import cross_entropy, mse_loss

from hookloop import ConfigError, SupervisedTask, Task, hookimpl
from hookloop.task import LOADERS
from hookloop.testing import tiny_task

INPUTS, TARGETS = torch.eye(3), torch.tensor([0, 1, 2])


@dataclass
class Sample:
    image: torch.Tensor
    label: torch.Tensor


def doubling():
    """Return a model that doubles, so that its output tells what went in."""
    model = torch.nn.Linear(3, 3, bias=False)
    with torch.no_grad():
        model.weight.copy_(2 * torch.eye(3))
    return model


@pytest.fixture
def supervised():
    task = SupervisedTask(doubling())
    task.criterion = cross_entropy
    return task


def test_a_task_has_no_data_and_no_optimizer_of_its_own():
    task = Task()
    assert [getattr(task, name)() for name in LOADERS.values()] == [None] * 4
    assert task.optimizers() is None


def test_a_supervised_task_gives_out_what_it_was_given():
    train, val, test, predict = [1], [2], [3], [4]
    task = SupervisedTask(doubling(), train=train, val=val, test=test, predict=predict)
    loaders = {stage: getattr(task, name)() for stage, name in LOADERS.items()}
    assert loaders == {"train": train, "validate": val, "test": test, "predict": predict}
    assert loaders["train"] is train


@pytest.mark.parametrize(
    "batch",
    [
        (INPUTS, TARGETS),
        [INPUTS, TARGETS],
        {"image": INPUTS, "label": TARGETS},
        {"x": INPUTS, "y": TARGETS},
        Sample(INPUTS, TARGETS),
    ],
)
@pytest.mark.parametrize("kind", [Task, SupervisedTask])
def test_input_and_target_are_told_apart_in_a_pair_a_dict_and_a_dataclass(batch, kind):
    task = kind.__new__(kind)
    task.model, task.criterion = doubling(), cross_entropy
    output, loss = task.train_step(batch)
    assert torch.equal(output, 2 * INPUTS)
    assert torch.equal(loss, cross_entropy(2 * INPUTS, TARGETS))
    assert torch.equal(task.validation_step(batch)[1], loss)
    assert torch.equal(task.predict_step(batch), output)
    assert task.batch_size(batch) == 3


def test_a_lone_tensor_is_an_input(supervised):
    assert torch.equal(supervised.predict_step(INPUTS), 2 * INPUTS)
    assert supervised.batch_size(INPUTS) == 3


@pytest.mark.parametrize("batch", [INPUTS, (INPUTS,), {"image": INPUTS}])
def test_a_batch_without_a_target_says_what_to_override(supervised, batch):
    with pytest.raises(TypeError, match=r"is the target\. .* or override Task\.target\(batch\)\."):
        supervised.loss(INPUTS, batch)


def test_a_task_without_a_loss_says_how_to_get_one(tiny_run):
    class Mine(SupervisedTask):
        pass

    with pytest.raises(ConfigError, match=r'no loss: give \[loss\] use = "cross_entropy", or override Mine\.loss\.'):
        tiny_run(task=Mine(doubling(), train=[(INPUTS, TARGETS)]), loss=None)


def test_what_a_subclass_says_of_input_and_target_holds_for_pairs_too():
    class Mirrored(SupervisedTask):
        def input(self, batch):
            return batch[0].flip(0)

        def target(self, batch):
            return batch[1].flip(0)

    task = Mirrored(doubling())
    task.criterion = cross_entropy
    output, loss = task.train_step((INPUTS, TARGETS))
    assert torch.equal(output, 2 * INPUTS.flip(0))
    assert torch.equal(loss, cross_entropy(2 * INPUTS.flip(0), TARGETS.flip(0)))


def test_a_subclass_may_change_the_target_alone():
    class Autoencoder(SupervisedTask):
        def target(self, batch):
            return batch[0]

    task = Autoencoder(doubling())
    task.criterion = mse_loss
    assert task.train_step((INPUTS, TARGETS))[1] == mse_loss(2 * INPUTS, INPUTS)


def test_a_task_of_ones_own_needs_a_model_data_and_a_step(tiny_run):
    class Regression(Task):
        def __init__(self):
            self.model = torch.nn.Linear(4, 1)

        def train_loader(self):
            return [torch.ones(2, 4), torch.zeros(3, 4)]

        def train_step(self, batch):
            output = self.model(batch)
            return output, output.square().mean()

    result = tiny_run(task=Regression, loss=None, epochs=1)
    assert (result.step, result.samples) == (2, 5)
    assert set(result.metrics) == {"train/loss"}


def test_a_task_may_bring_several_optimizers(tiny_run):
    class Two(SupervisedTask):
        def optimizers(self):
            first, _, second = self.model
            return [torch.optim.SGD(first.parameters(), lr=0.1), torch.optim.Adam(second.parameters(), lr=0.01)]

    def build():
        tiny = tiny_task()
        return Two(tiny.model, tiny.train_loader())

    result = tiny_run(task=build, optimizer=None)
    assert len(result.state["optimizers"]) == 2
    before = build().model.state_dict()
    assert not any(torch.equal(before[name], value) for name, value in result.state["model"].items())


def test_samples_weigh_by_what_the_task_says_they_are(tiny_run):
    class Tokens(SupervisedTask):
        def batch_size(self, batch):
            return 10 * len(batch[0])

    def build():
        tiny = tiny_task()
        return Tokens(tiny.model, tiny.train_loader())

    assert tiny_run(task=build, epochs=1).samples == 10 * tiny_run(epochs=1).samples


def test_the_engine_tells_a_task_its_run_its_loss_and_its_prepared_model(tiny_run):
    class Watching(SupervisedTask):
        def train_loader(self):
            self.loader_saw = (self.run.config.max_epochs, self.criterion, type(self.model))
            return super().train_loader()

    class Wrap:
        @hookimpl
        def prepare_model(self, model):
            return torch.nn.Sequential(model)

    tiny = tiny_task()
    task = Watching(tiny.model, tiny.train_loader())
    tiny_run([Wrap()], task=task, epochs=1, loss=cross_entropy)
    assert task.loader_saw == (1, cross_entropy, torch.nn.Sequential)
    assert task.model[0] is tiny.model
    assert task.run.model is task.model
