import pytest
import torch

from hookloop import SupervisedTask, hookimpl
from hookloop.testing import tiny_task

META = torch.device("meta")


class Seen:
    """Notes on which device batches are when the work on them begins, in each stage."""

    role = "observer"

    def __init__(self):
        self.devices = []

    def note(self, batch):
        self.devices.append({each.device.type for each in batch})

    @hookimpl
    def on_batch_start(self, batch):
        self.note(batch)

    @hookimpl
    def on_validation_batch_start(self, batch):
        self.note(batch)

    @hookimpl
    def on_test_batch_start(self, batch):
        self.note(batch)

    @hookimpl
    def on_predict_batch_start(self, batch):
        self.note(batch)


class Shapes(SupervisedTask):
    """Works on a device that holds no numbers, as every machine has one: it only learns the shapes."""

    def loss(self, output, batch):
        return torch.zeros((), requires_grad=True) + 0.0

    def validation_step(self, batch):
        return self.forward(batch), None


def shapes():
    tiny = tiny_task()
    loaders = (tiny.train_loader(), tiny.val_loader(), tiny.test_loader(), tiny.predict_loader())
    return Shapes(tiny.model, *loaders)


@pytest.mark.parametrize(("command", "batches"), [("fit", 5), ("validate", 2), ("test", 2), ("predict", 2)])
def test_batches_are_moved_to_the_device_of_the_run_in_every_stage(tiny_run, command, batches):
    seen = Seen()
    tiny_run([seen], task=shapes, device="meta", epochs=1, commands=(command,))
    assert seen.devices == [{"meta"}] * batches


def test_on_the_cpu_batches_are_left_alone(tiny_run):
    class Same:
        @hookimpl
        def on_batch_start(self, run, batch):
            batches.append(batch is run.window[0])
            assert "engine:transfer" not in run.plugins

    batches = []
    tiny_run([Same()], epochs=1)
    assert batches == [True] * 3


def test_a_plugin_may_work_on_a_batch_after_it_was_moved(tiny_run):
    class After:
        @hookimpl
        def transfer_batch(self, batch):
            devices.append(batch[0].device)
            return batch

    devices = []
    tiny_run([After()], task=shapes, device="meta", epochs=1)
    assert set(devices) == {META}
