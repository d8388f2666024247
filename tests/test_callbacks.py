import functools

import pytest
import torch

from hookloop import ConfigError, Engine, PluginHookError, hookimpl
from hookloop.testing import tiny_task


@pytest.fixture
def engine(tmp_path):
    def make(**keywords):
        options = {
            "loss": "cross_entropy",
            "optimizer": "sgd",
            "max_epochs": 4,
            "validate_every": "1 epoch",
            "run_dir": tmp_path / "run",
            "overwrite": True,
        }
        return Engine(tiny_task, **{**options, **keywords})

    return make


def test_a_function_is_called_at_its_event_with_the_arguments_that_it_names(engine):
    seen, an_engine = [], engine(max_epochs=2)

    @an_engine.on("on_epoch_end")
    def count(run):
        seen.append(run.epoch)

    @an_engine.on("on_metrics")
    def losses(metrics):
        seen.append(sorted(metrics))

    @an_engine.on("on_fit_end")
    def done():
        seen.append("done")

    an_engine.fit()
    assert [each for each in seen if isinstance(each, int)] == [1, 2]
    assert ["train/loss", "val/loss"] in seen
    assert seen[-1] == "done"


@pytest.mark.parametrize(
    ("event", "every", "calls"),
    [
        ("on_epoch_end", "2 epochs", [(2, 6), (4, 12)]),
        ("on_step_end", "5 steps", [(1, 5), (3, 10)]),
        ("on_validation_end", "4 steps", [(2, 6), (3, 9), (4, 12)]),
        ("on_epoch_start", "2 epochs", [(2, 6)]),
        ("on_step_end", "24 samples", [(1, 4), (2, 8), (3, 12)]),
    ],
)
def test_it_is_called_at_the_first_event_after_each_interval(engine, event, every, calls):
    seen, an_engine = [], engine()
    an_engine.on(event, every=every)(lambda run: seen.append((run.epoch, run.step)))
    result = an_engine.fit()
    assert result.samples == 72
    assert seen == calls


def test_once_is_the_first_time_that_it_would_be_called(engine):
    seen, an_engine = [], engine()
    an_engine.on("on_step_end", once=True, when=lambda run: run.step > 4)(lambda run: seen.append(run.step))
    an_engine.fit()
    assert seen == [5]
    an_engine.fit()
    assert seen == [5, 5]


def test_when_is_asked_each_time(engine):
    seen, an_engine = [], engine()
    an_engine.on("on_step_end", when=lambda run: run.step % 2)(lambda run: seen.append(run.step))
    an_engine.fit()
    assert seen == [1, 3, 5, 7, 9, 11]


class Adder:
    def __init__(self):
        self.total = 0

    def __call__(self, run):
        self.total += run.step

    def method(self, run):
        self.total += run.step


def test_whatever_can_be_called_may_be_given(engine):
    events, adder, other, an_engine = [], Adder(), Adder(), engine(max_epochs=1)
    an_engine.on("on_step_end")(adder)
    an_engine.on("on_step_end")(other.method)
    an_engine.on("on_step_end")(functools.partial(lambda text, run: events.append((text, run.step)), "step"))
    an_engine.on("on_train_epoch_end")(events.append)
    an_engine.on("on_metrics")(print)
    an_engine.on("on_step_start")(lambda *given: events.append(len(given)))
    an_engine.on("on_step_end")(lambda run, more="its own": events.append(more))
    an_engine.fit()
    assert (adder.total, other.total) == (6, 6)
    assert events[:3] == [1, ("step", 1), "its own"]
    assert type(events[-1]).__name__ == "Run"


def test_functions_of_one_name_are_told_apart(engine):
    an_engine = engine(max_epochs=1)
    for _ in range(2):
        an_engine.on("on_step_end")(lambda: None)
    an_engine.on("on_step_end")(Adder())
    instances = {each.instance for each in an_engine.plan().plugins if each.distribution == "hookloop"}
    assert instances == {"function", "function-2", "adder"}


def test_what_it_returns_counts_as_what_a_plugin_returns(engine):
    once, twice = engine(max_steps=1), engine(max_steps=1)
    twice.on("transform_loss")(lambda loss: 2 * loss)
    assert twice.fit().metrics["train/loss"] == pytest.approx(2 * once.fit().metrics["train/loss"])


@pytest.mark.parametrize("when", [True, False])
def test_while_it_is_not_called_the_engine_does_what_it_does(engine, when):
    start, an_engine = {}, engine(max_steps=1)

    @an_engine.on("on_fit_start")
    def remember(run):
        start.update({name: each.clone() for name, each in run.model.state_dict().items()})

    an_engine.on("run_optimizer_step", when=lambda run: when)(lambda: True)
    end = an_engine.fit().state["model"]
    assert all(torch.equal(end[name], start[name]) for name in start) == when


def returns_a_coroutine():
    async def function(run):
        return run

    return function


@pytest.mark.parametrize(
    ("event", "function", "options", "said"),
    [
        ("on_epoch_edn", print, {}, "there is no event 'on_epoch_edn'. Did you mean 'on_epoch_end'"),
        ("add_commands", print, {}, "there is no event 'add_commands'"),
        ("on_step_end", "print", {}, "got 'print', expected a function"),
        ("on_step_end", lambda logs: None, {}, "function asks for logs, which the hook on_step_end does not have"),
        ("on_metrics", lambda metric: None, {}, "Did you mean 'metrics'"),
        ("on_step_end", returns_a_coroutine(), {}, "is async or yields"),
        ("on_step_end", print, {"every": "2 epocs"}, "every: '2 epocs': unknown unit 'epocs'. Did you mean 'epochs'"),
        ("on_step_end", print, {"when": True}, "when is True, expected a function"),
        ("on_step_end", divmod, {}, "divmod takes 2 arguments; on_step_end has run"),
    ],
)
def test_what_is_wrong_is_an_error_at_once(engine, event, function, options, said):
    with pytest.raises(ConfigError) as caught:
        engine().on(event, **options)(function)
    assert said in str(caught.value)


def test_an_error_in_it_names_it(engine):
    def divide(run):
        return 1 / 0

    an_engine = engine()
    an_engine.on("on_step_end")(divide)
    with pytest.raises(PluginHookError, match="plugin 'divide'"):
        an_engine.fit()


class StopsAfter:
    role = "actor"

    def __init__(self, step):
        self.step = step

    @hookimpl
    def decide(self, run):
        if run.step == self.step:
            run.request_stop("enough")


def test_a_resumed_run_calls_it_where_one_that_was_never_stopped_does(engine):
    def calls(*, stop=None, resume=None):
        seen, an_engine = [], engine(plugins=[("stops", StopsAfter(stop))])

        def often(run):
            seen.append(run.step)

        def first(run):
            seen.append(-run.step)

        an_engine.on("on_step_end", every="7 samples")(often)
        an_engine.on("on_step_end", once=True)(first)
        return seen, an_engine.fit(resume=resume)

    whole, _ = calls()
    before, stopped = calls(stop=5)
    after, _ = calls(resume=stopped.state)
    assert before + after == whole
    assert whole.count(-1) == 1
