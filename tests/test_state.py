import copy
import random

import numpy as np
import pytest
import torch

from hookloop import ConfigError, SupervisedTask, hookimpl
from hookloop.testing import tiny_task
from hookloop.testing.comparison import first_difference


def adam(params):
    return torch.optim.Adam(params, lr=0.01)


def dropping():
    return tiny_task(3, dropout=0.5)


class Drawing:
    """Draws from every stream in each step, as augmentation would."""

    def __init__(self):
        self.drawn = []

    @hookimpl
    def on_step_end(self):
        self.drawn.append((random.random(), float(np.random.random()), float(torch.rand(()))))


class Counting:
    """Has a state of its own."""

    role = "observer"

    def __init__(self):
        self.steps = 0
        self.began_with = None

    @hookimpl
    def on_fit_start(self):
        self.began_with = self.steps

    @hookimpl
    def on_step_end(self):
        self.steps += 1

    def state_dict(self):
        return {"steps": self.steps}

    def load_state_dict(self, state):
        self.steps = state["steps"]


@pytest.fixture
def train(tiny_run):
    """A function that trains a model with dropout."""

    def fit(plugins=(), **keywords):
        return tiny_run(plugins, **{"task": dropping, "optimizer": adam, **keywords})

    return fit


def lasting(state):
    """Return what of a state is the same however fast the machine is."""
    counters = {name: value for name, value in state["counters"].items() if name != "elapsed_seconds"}
    log = {"pending": state["log"]["pending"]}  # without the number of rows, which counts those of this directory
    return {**state, "counters": counters, "log": log}


def test_a_state_holds_everything_that_a_run_is(train):
    state = train([Counting()], epochs=1).state
    assert set(state) >= {"format", "counters", "model", "optimizers", "plugins", "rng", "fingerprint"}
    assert state["format"] == 1
    assert {name: state["counters"][name] for name in ("epoch", "step", "batch_index", "samples")} == {
        "epoch": 1,
        "step": 3,
        "batch_index": 3,
        "samples": 18,
    }
    assert state["plugins"]["counting"]["state"] == {"steps": 3}
    assert {"python", "torch", "numpy"} <= set(state["rng"])
    assert state["fingerprint"]["threads"] == 1
    assert (state["fingerprint"]["device"], state["fingerprint"]["world_size"]) == ("cpu", 1)


def test_a_state_needs_no_pickled_code(train, tmp_path):
    state = train(epochs=1).state
    torch.save(state, tmp_path / "state.pt")
    assert first_difference(torch.load(tmp_path / "state.pt", weights_only=True), state) is None


def test_a_resumed_run_equals_one_that_went_through_bit_by_bit(train):
    all_drawn, rest_drawn, counting = Drawing(), Drawing(), Counting()
    whole = train([all_drawn, Counting()], epochs=3)
    half = train([Drawing(), Counting()], epochs=1)
    rest = train([rest_drawn, counting], epochs=3, resume=half.state)
    assert first_difference(lasting(whole.state), lasting(rest.state)) is None
    assert rest_drawn.drawn == all_drawn.drawn[3:]
    assert (counting.began_with, counting.steps) == (3, 9)


def test_a_state_that_was_stored_and_read_back_serves_as_well(train, tmp_path):
    half = train(epochs=1)
    torch.save(half.state, tmp_path / "state.pt")
    rest = train(epochs=2, resume=torch.load(tmp_path / "state.pt", weights_only=True))
    assert first_difference(lasting(train(epochs=2).state), lasting(rest.state)) is None


def test_resuming_leaves_the_state_as_it_was(train):
    half = train(epochs=1)
    before = copy.deepcopy(half.state)
    first, second = train(epochs=3, resume=half.state), train(epochs=3, resume=half.state)
    assert first_difference(before, half.state) is None
    assert first_difference(lasting(first.state), lasting(second.state)) is None


def test_time_goes_on_from_where_it_stood(tiny_run, fake_clock):
    class Tick:
        @hookimpl
        def on_step_end(self):
            fake_clock.advance(10)

    half = tiny_run([Tick()], epochs=1, clock=fake_clock)
    fake_clock.advance(1000)
    rest = tiny_run([Tick()], epochs=2, clock=fake_clock, resume=half.state)
    assert (half.elapsed_seconds, rest.elapsed_seconds) == (30.0, 60.0)


def test_a_schedule_may_be_added_on_the_way(train):
    half = train(epochs=1)
    assert train(epochs=2, resume=half.state, schedule="cosine").outcome == "completed"


def other_model():
    tiny = tiny_task()
    return SupervisedTask(torch.nn.Linear(4, 3), tiny.train_loader())


def pair(params):
    return [adam(params[:2]), adam(params[2:])]


def uneven(params):
    return adam(params[:2])


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"task": other_model}, "the state to resume from does not fit Linear:\n  weight is not in the state\n"),
        ({"optimizer": pair}, "the state to resume from has 1 optimizers, this run has 2."),
        (
            {"optimizer": lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9)},
            "optimizer 0 of the state to resume from is not this run's SGD: it has the options ",
        ),
        (
            {"optimizer": uneven},
            "optimizer 0 of the state to resume from is not this run's Adam: loaded state dict cont",
        ),
    ],
)
def test_the_state_of_another_model_or_optimizer_is_an_error(train, keywords, said):
    half = train(epochs=1)
    with pytest.raises(ConfigError) as caught:
        train(epochs=2, resume=half.state, **keywords)
    assert said in str(caught.value)


@pytest.mark.parametrize("resume", [{}, {"model": {}, "optimizer": {}}])
def test_what_is_no_state_is_an_error_that_says_what_is_one(train, resume):
    with pytest.raises(ConfigError) as caught:
        train(resume=resume)
    assert str(caught.value).startswith("this is no state of a run, it lacks format, counters, ")
    assert "resume from the `state` of a result, or from a checkpoint." in str(caught.value)


def test_a_state_of_a_later_version_is_an_error(train):
    half = train(epochs=1)
    with pytest.raises(ConfigError, match=r"the state has format 2, this hookloop reads 1: upgrade hookloop\."):
        train(resume={**half.state, "format": 2})
