"""The plugin parameters: what it logs, when, and what it costs."""

import math

import pytest
import torch
from torch.nn.parameter import is_lazy

from hookloop import PluginError, SupervisedTask, hookimpl
from hookloop.testing.tiny import tiny_task


class Taker:
    """Takes histograms, as a plugin that shows them does."""

    def __init__(self):
        self.taken = []

    @hookimpl
    def log_histogram(self, run, name, values):
        self.taken.append((name, run.step, values.clone()))

    def steps(self, name):
        return [step for each, step, _ in self.taken if each == name]

    def names(self):
        return sorted({name for name, _, _ in self.taken})


@pytest.fixture
def look(tiny_run):
    """Train with the plugin, and return what was taken and the rows of the history."""

    def run(*plugins, **options):
        keywords = {key: options.pop(key) for key in list(options) if key in ("task", "epochs", "accumulate", "steps",
                    "clip_grad_norm", "precision", "optimizer", "resume", "loss", "log_every")}  # fmt: skip
        taker = Taker()
        result = tiny_run([("parameters", options), taker, *plugins], **keywords)
        return taker, result

    return run


NAMES = ["0.bias", "0.weight", "2.bias", "2.weight"]


def test_parameters_and_gradients_are_logged_by_their_names(look):
    taker, _ = look()
    assert taker.names() == [f"{kind}/{name}" for kind in ("gradients", "parameters") for name in NAMES]


@pytest.mark.parametrize(
    ("every", "steps"),
    [
        ("1 epoch", [3, 6, 9, 12]),
        ("2 epochs", [6, 12]),
        ("1 step", list(range(1, 13))),
        ("5 steps", [5, 10]),
        ("24 samples", [4, 8, 12]),
    ],
)
def test_it_looks_at_the_steps_that_the_interval_says(look, every, steps):
    taker, result = look(every=every, epochs=4)
    for name in ("parameters/0.weight", "gradients/2.bias"):
        assert taker.steps(name) == steps
    for name in ("norm/parameters/0", "norm/gradients/2", "norm/total/gradients", "norm/total/parameters"):
        assert [row["step"] for row in result.history if name in row] == steps


def test_seconds_count_by_the_clock_of_the_run(tiny_run, fake_clock):
    class Slow:
        @hookimpl
        def on_step_start(self):
            fake_clock.advance(4)

    taker = Taker()
    tiny_run([("parameters", {"every": "10 s"}), taker, Slow()], epochs=1, steps=6, clock=fake_clock)
    assert taker.steps("gradients/0.weight") == taker.steps("parameters/0.weight") == [3, 6]


def test_gradients_are_those_of_the_step_before_they_are_clipped(look):
    seen = {}

    class Watch:
        @hookimpl
        def on_gradients_ready(self, run):
            seen[run.step + 1] = run.model[0].weight.grad.clone()

        @hookimpl
        def on_step_end(self, run):
            clipped = torch.cat([each.grad.flatten() for each in run.model.parameters()])
            assert clipped.norm() <= 1.001e-3

    taker, result = look(Watch(), every="2 steps", clip_grad_norm=1e-3)
    for name, step, values in taker.taken:
        if name == "gradients/0.weight":
            assert torch.equal(values, seen[step])
    assert all(row["norm/total/gradients"] > 0.01 for row in result.history if "norm/total/gradients" in row)


def test_parameters_are_those_after_the_update(look):
    seen = {}

    class Watch:
        @hookimpl
        def on_step_end(self, run):
            seen[run.step] = run.model[0].weight.detach().clone()

    taker, _ = look(Watch(), every="1 step")
    for name, step, values in taker.taken:
        if name == "parameters/0.weight":
            assert torch.equal(values, seen[step])


def test_norms_are_those_of_each_module_and_of_all(look):
    taker, result = look(every="3 steps", epochs=1)
    values = {name: each for name, _, each in taker.taken}
    first = math.hypot(*(values[f"gradients/0.{kind}"].norm().item() for kind in ("weight", "bias")))
    second = math.hypot(*(values[f"gradients/2.{kind}"].norm().item() for kind in ("weight", "bias")))
    assert result.metrics["norm/gradients/0"] == pytest.approx(first)
    assert result.metrics["norm/total/gradients"] == pytest.approx(math.hypot(first, second))


def test_with_accumulation_it_looks_at_whole_updates(look):
    taker, _ = look(every="1 epoch", accumulate=2)
    assert taker.steps("gradients/0.weight") == [3, 6]


def test_a_loader_without_a_length_is_looked_at_when_it_ends(look):
    class Endless:
        def __iter__(self):
            return iter(tiny_task(3).train_loader())

    model = tiny_task().model
    taker, _ = look(task=lambda: SupervisedTask(model, Endless()))
    assert taker.steps("gradients/0.weight") == taker.steps("parameters/0.weight") == [3, 6]


def test_patterns_choose_and_leave_out(look):
    taker, result = look(include=["0.*", "2.bias"], exclude=["*.weight"])
    assert taker.names() == ["gradients/0.bias", "gradients/2.bias", "parameters/0.bias", "parameters/2.bias"]
    assert "norm/parameters/2" in result.metrics


def test_patterns_that_choose_nothing_are_an_error_with_the_names(look):
    with pytest.raises(PluginError, match=r"no parameter is called encoder\.\*.*There are: 0\.weight, 0\.bias"):
        look(include=["encoder.*"])


@pytest.mark.parametrize(
    ("options", "histograms", "norms"),
    [
        ({"gradients": False}, {"parameters"}, {"norm/parameters/0", "norm/parameters/2", "norm/total/parameters"}),
        ({"histograms": False, "gradients": False, "include": ["0.*"]}, set(),
         {"norm/parameters/0", "norm/total/parameters"}),
        ({"norms": False}, {"parameters", "gradients"}, set()),
    ],
)  # fmt: skip
def test_each_part_can_be_left_out(look, options, histograms, norms):
    taker, result = look(**options)
    assert {name.partition("/")[0] for name in taker.names()} == histograms
    assert {name for name in result.metrics if name.startswith("norm/")} == norms


def test_buffers_are_logged_on_request(look):
    def task():
        model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))
        return SupervisedTask(model, tiny_task(3).train_loader())

    taker, _ = look(task=task, buffers=True)
    assert {"buffers/1.running_mean", "buffers/1.num_batches_tracked"} <= set(taker.names())
    assert not any(name.startswith("buffers/") for name in look(task=task)[0].names())


def test_nothing_is_copied_where_nobody_takes_histograms(tiny_run, monkeypatch):
    from hookloop_tensorboard import tensors

    def copies(*given, **options):
        raise AssertionError

    monkeypatch.setattr(tensors, "copies", copies)
    result = tiny_run([("parameters", {"every": "1 step"})])
    assert "norm/total/gradients" in result.metrics


def test_no_parameter_is_touched_in_the_other_steps(look):
    calls = []

    class Model(torch.nn.Sequential):
        def named_parameters(self, *given, **options):
            calls.append(1)
            return super().named_parameters(*given, **options)

    class Watch:
        @hookimpl
        def on_fit_start(self):
            calls.clear()

        @hookimpl
        def on_step_end(self, run):
            seen.append((run.step, len(calls)))

    seen = []
    look(
        Watch(), task=lambda: SupervisedTask(Model(torch.nn.Linear(4, 3)), tiny_task(3).train_loader()), every="4 steps"
    )
    assert [count for step, count in seen if step < 4] == [0, 0, 0]
    assert seen[-1][1] > 0


class Strange(torch.nn.Module):
    """Has parameters of every awkward kind."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 3)
        self.empty = torch.nn.Parameter(torch.zeros(0, 3))
        self.halves = torch.nn.Parameter(torch.full((3,), 300.0).half())
        self.rotated = torch.nn.Parameter(torch.ones(3, dtype=torch.complex64))
        self.unused = torch.nn.Parameter(torch.ones(2))
        self.frozen = torch.nn.Parameter(torch.arange(3), requires_grad=False)
        self.lazy = torch.nn.LazyLinear(3)
        self.embedding = torch.nn.Embedding(5, 3, sparse=True)
        self.tied = self.layer.weight

    def forward(self, x):
        rare = self.embedding(torch.tensor([1, 1, 2])).sum()
        return self.layer(x) + self.halves.float() + self.rotated.abs() + rare + self.empty.sum()


def test_parameters_of_every_kind_can_be_looked_at(tiny_run, tmp_path, board):
    def optimizer(params):
        return torch.optim.SGD([each for each in params if not is_lazy(each) and each.dtype == torch.float32], lr=0.1)

    plugins = ["tensorboard", ("parameters", {"every": "1 step", "include": ["*"]})]
    task = lambda: SupervisedTask(Strange(), tiny_task(3).train_loader())  # noqa: E731
    result = tiny_run(plugins, task=task, optimizer=optimizer, epochs=1)
    found = board(result.directory / "tensorboard").reader().Tags()["histograms"]
    assert {"parameters/halves", "parameters/rotated", "parameters/frozen", "gradients/embedding.weight"} <= set(found)
    assert "gradients/unused" not in found
    assert len({"parameters/tied", "parameters/layer.weight"} & set(found)) == 1
    assert math.isfinite(result.metrics["norm/parameters/model"])


def test_gradients_that_are_not_finite_are_no_reason_to_fail(tiny_run, board):
    class Break:
        @hookimpl
        def on_backward_end(self, run):
            run.model[0].weight.grad.fill_(math.nan)

    result = tiny_run(["tensorboard", ("parameters", {"every": "1 step"}), Break()], epochs=1, steps=1)
    assert math.isnan(result.metrics["norm/gradients/0"])
    tags = board(result.directory / "tensorboard").reader().Tags()["histograms"]
    assert "gradients/2.weight" in tags
    assert "gradients/0.weight" not in tags


def test_a_skipped_update_is_not_looked_at_but_the_next_one(look):
    from hookloop import SkipStep

    class Skip:
        calls = 0

        @hookimpl
        def on_optimizer_step_start(self, run):
            self.calls += 1
            if self.calls == 2:
                raise SkipStep("for the test")

    taker, _ = look(Skip(), every="2 steps", epochs=1, steps=4)
    assert taker.steps("gradients/0.weight") == taker.steps("parameters/0.weight") == [2]


def test_several_processes_cannot_go_by_the_clock(look):
    class Second:
        before = ("parameters",)

        @hookimpl
        def on_fit_start(self, run):
            run.world_size = 2

    with pytest.raises(PluginError, match="several processes do not agree on it"):
        look(Second(), every="10 s")


@pytest.mark.parametrize("every", ["24 samples", "2 steps", "1 epoch"])
def test_a_resumed_run_looks_at_the_same_steps(look, tiny_run, every):
    whole, _ = look(every=every, epochs=4)
    first, result = look(every=every, epochs=2)
    second, _ = look(every=every, epochs=4, resume=result.state)
    assert first.steps("gradients/0.weight") + second.steps("gradients/0.weight") == whole.steps("gradients/0.weight")
