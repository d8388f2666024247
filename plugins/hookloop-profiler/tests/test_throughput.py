"""The plugin ``throughput``: exact for batches of different sizes, in every stage."""

from typing import ClassVar

import pytest
import torch

from hookloop import ConfigError, SupervisedTask, hookimpl
from hookloop_profiler import Throughput


def data(*sizes):
    return [(torch.full((size, 4), float(size)), torch.zeros(size, dtype=torch.long)) for size in sizes]


def task():
    return SupervisedTask(torch.nn.Linear(4, 3), data(6, 6, 2), data(5, 1), data(4, 4, 1), data(3, 2))


def series(result, name):
    return [row[name] for row in result.history if name in row]


def test_the_last_batch_counts_for_what_it_holds(tiny_run, fake_clock, passing):
    """TNT: a fixed number a batch, wrong for the last (2.1)."""
    plugins = [passing("on_batch_start", 2), ("throughput", {"warmup_steps": 0})]
    result = tiny_run(plugins, task=task, clock=fake_clock)
    assert series(result, "throughput/samples_per_second") == [3, 3, 1, 3, 3, 1]
    assert series(result, "throughput/epoch/samples_per_second") == [14 / 6] * 2


@pytest.mark.parametrize(
    ("command", "hook", "name", "expected"),
    [("validate", "on_validation_batch_start", "val", 6 / 4), ("test", "on_test_batch_start", "test", 9 / 6),
     ("predict", "on_predict_batch_start", "predict", 5 / 4)],
)  # fmt: skip
def test_every_stage_has_its_rate(tiny_run, fake_clock, passing, command, hook, name, expected):
    """TNT: the series of a predicted epoch never appears, the test has none (2.1)."""
    result = tiny_run([passing(hook, 2), "throughput"], task=task, clock=fake_clock, commands=[command])
    assert series(result, f"throughput/{name}/samples_per_second") == [expected]


def test_validation_is_no_time_of_training(tiny_run, fake_clock, passing):
    plugins = [
        passing("on_batch_start", 2),
        passing("on_validation_batch_start", 50),
        ("throughput", {"warmup_steps": 0}),
    ]
    result = tiny_run(plugins, task=task, clock=fake_clock, validate_every="1 step")
    assert series(result, "throughput/samples_per_second") == [3, 3, 1, 3, 3, 1]
    assert series(result, "throughput/epoch/samples_per_second") == [14 / 6] * 2


def test_between_two_boundaries_all_steps_count(tiny_run, fake_clock, passing):
    plugins = [passing("on_batch_start", 2), ("throughput", {"warmup_steps": 0})]
    result = tiny_run(plugins, task=task, clock=fake_clock, epochs=1, log_every="2 steps")
    assert series(result, "throughput/samples_per_second")[0] == 3


def test_the_warm_up_is_left_out_but_of_the_epoch(tiny_run, fake_clock, acting):
    seconds = iter([100, 2, 2, 2, 2, 2])
    slow = acting("on_batch_start", lambda run: fake_clock.advance(next(seconds)))
    result = tiny_run([("slow", slow), ("throughput", {"warmup_steps": 1})], task=task, clock=fake_clock)
    assert series(result, "throughput/samples_per_second") == [3, 1, 3, 3, 1]
    assert series(result, "throughput/epoch/samples_per_second") == [14 / 104, 14 / 6]


def test_any_unit_can_be_counted(tiny_run, fake_clock, passing, tmp_path):
    (tmp_path / "units.py").write_text(
        "def tokens(batch):\n    return batch[0][:, 0].sum()\n\ndef words(batch):\n    return len(batch[1]) * 7\n"
    )
    units = {"tokens": f"{tmp_path / 'units.py'}:tokens", "words": f"{tmp_path / 'units.py'}:words", "pixels": 4}
    plugins = [
        passing("on_batch_start", 2),
        ("throughput", {"warmup_steps": 0, "units": units, "samples": False}),
    ]
    result = tiny_run(plugins, task=task, clock=fake_clock, epochs=1)
    assert series(result, "throughput/tokens_per_second") == [18, 18, 2]  # of a tensor, which nobody has to read
    assert series(result, "throughput/words_per_second") == [21, 21, 7]
    assert series(result, "throughput/pixels_per_second") == [12, 12, 4]
    assert "throughput/samples_per_second" not in result.metrics


class Unread(torch.Tensor):
    """A number on a device that whoever reads it would have to wait for."""

    reads = 0

    def item(self):
        Unread.reads += 1
        return super().item()

    __float__ = __bool__ = __int__ = item


def test_what_is_counted_on_a_device_is_read_at_the_boundary_alone(tiny_run, monkeypatch, tmp_path):
    """Lightning: to log in a step is to wait for the device in it."""
    monkeypatch.setattr(Unread, "reads", 0)
    (tmp_path / "unread.py").write_text(
        "import torch\nkind = None\ndef tokens(batch):\n    return torch.tensor(5.0).as_subclass(kind)\n"
    )
    units = {"tokens": f"{tmp_path / 'unread.py'}:tokens"}
    plugin = Throughput(Throughput.Config(warmup_steps=0, units=units))

    class Watch:
        role = "observer"
        reads: ClassVar = []

        @hookimpl
        def on_fit_start(self, run):
            plugin.functions["tokens"].__globals__["kind"] = Unread

        @hookimpl(trylast=True)
        def on_step_end(self, run):
            self.reads.append(Unread.reads)

    tiny_run([("throughput", plugin), ("watch", Watch())], epochs=1, steps=4, log_every="4 steps")
    assert Watch.reads == [0, 0, 0, 0]
    assert Unread.reads >= 1


def test_micro_batches_of_an_accumulated_step_count_one_by_one(tiny_run, fake_clock, passing, tmp_path):
    (tmp_path / "rows.py").write_text("def rows(batch):\n    return len(batch[1])\n")
    options = {"warmup_steps": 0, "units": {"rows": f"{tmp_path / 'rows.py'}:rows"}}
    plugins = [passing("on_batch_start", 2), ("throughput", options)]
    result = tiny_run(plugins, task=task, clock=fake_clock, epochs=1, accumulate=2)
    assert series(result, "throughput/samples_per_second") == [3, 1]
    assert series(result, "throughput/rows_per_second") == [3, 1]


def test_what_lies_between_two_epochs_is_no_time_of_training(tiny_run, fake_clock, passing):
    plugins = [passing("on_batch_start", 2), passing("on_epoch_end", 90), ("throughput", {"warmup_steps": 0})]
    result = tiny_run(plugins, task=task, clock=fake_clock)
    assert series(result, "throughput/samples_per_second") == [3, 3, 1, 3, 3, 1]


def test_saving_is_a_part_of_the_time_of_training(tiny_run, fake_clock, passing):
    plugins = [passing("on_batch_start", 2), passing("persist", 1), ("throughput", {"warmup_steps": 0})]
    result = tiny_run(plugins, task=task, clock=fake_clock, epochs=1)
    assert series(result, "throughput/samples_per_second") == [6 / 2, 6 / 3, 2 / 3]


def test_the_rest_of_a_resumed_epoch_has_its_rate(tiny_run, fake_clock, passing):
    """TNT: the epoch's series is missing after a resume (2.1)."""
    plugins = [passing("on_batch_start", 2), ("throughput", {"warmup_steps": 0})]
    begun = tiny_run(plugins, task=task, clock=fake_clock, max_steps=1)
    rest = tiny_run(plugins, task=task, clock=fake_clock, epochs=1, resume=begun.state)
    assert rest.metrics["throughput/epoch/samples_per_second"] == 8 / 4


def test_no_time_gives_no_rate(tiny_run, fake_clock):
    result = tiny_run([("throughput", {"warmup_steps": 0})], task=task, clock=fake_clock)
    assert not [name for name in result.metrics if name.startswith("throughput")]


@pytest.mark.parametrize(
    "options", [{"units": {"tokens": 0}}, {"units": {"tokens": "count_tokens"}}, {"warmup_steps": -1}]
)
def test_impossible_options_are_refused(tiny_run, options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        tiny_run([("throughput", options)])
