"""``reduce_on_plateau`` and other schedules that follow a metric, in whole runs."""

import copy
import itertools

import pytest
import torch

from hookloop import ConfigError, hookimpl


def sgd(params):
    return torch.optim.SGD(params, lr=1.0)


class Scripted:
    """Logs a metric by a script, a value with each validation, and notes the rate of each step."""

    def __init__(self, values):
        self.values = values
        self.index = 0
        self.rates = []

    @hookimpl
    def on_step_start(self, run):
        self.rates.append(run.optimizers[0].param_groups[0]["lr"])

    def value(self):
        value = self.values[min(self.index, len(self.values) - 1)]
        self.index += 1
        return value

    @hookimpl
    def on_validation_end(self, run):
        run.log("val/scripted", self.value())

    def state_dict(self):
        return {"index": self.index}

    def load_state_dict(self, state):
        self.index = state["index"]


class Keeper:
    """Keeps the state at every boundary."""

    role = "observer"

    def __init__(self):
        self.states = []

    @hookimpl
    def persist(self, run):
        from hookloop.snapshots import take

        self.states.append(copy.deepcopy(take(run)))


def halving(**options):
    return "reduce_on_plateau", {"factor": 0.5, "monitor": "val/scripted", **options}


SETTINGS = {"optimizer": sgd, "epochs": 6, "steps": 2}


def test_it_counts_epochs_and_reduces_from_the_next_one_on(tiny_run):
    scripted = Scripted([3.0, 2.0, 2.0, 2.0, 1.0, 1.0])
    tiny_run(["schedules", scripted], schedule=halving(patience=1), **SETTINGS)
    assert scripted.rates == [1.0] * 8 + [0.5] * 4


def test_keras_reduces_one_epoch_earlier(tiny_run):
    scripted = Scripted([3.0, 2.0, 2.0, 2.0, 1.0, 1.0])
    tiny_run(["schedules", scripted], schedule=halving(patience=1, convention="keras"), **SETTINGS)
    assert scripted.rates == [1.0] * 6 + [0.5] * 2 + [0.25] * 4


def test_epochs_without_a_new_value_do_not_count(tiny_run):
    scripted = Scripted([2.0])
    schedule = halving(patience=0)
    tiny_run(["schedules", scripted], schedule=schedule, validate_every="2 epochs", **{**SETTINGS, "epochs": 7})
    assert scripted.rates == [1.0] * 8 + [0.5] * 4 + [0.25] * 2


def test_by_step_each_value_that_is_logged_counts(tiny_run):
    scripted = Scripted([2.0])
    schedule = halving(patience=0, unit="step")
    tiny_run(["schedules", scripted], schedule=schedule, validate_every="1 step", **{**SETTINGS, "epochs": 2})
    assert scripted.rates == [1.0, 1.0, 0.5, 0.25]


def test_the_training_loss_can_be_followed_once_an_epoch(tiny_run):
    scripted = Scripted([0.0])
    options = {"factor": 0.5, "patience": 0, "min_delta": 1e9, "min_delta_mode": "abs", "monitor": "train/loss"}
    settings = {**SETTINGS, "epochs": 3, "log_every": "1 step", "validate_every": "never"}
    tiny_run(["schedules", scripted], schedule=("reduce_on_plateau", options), **settings)
    assert scripted.rates == [1.0, 1.0, 1.0, 1.0, 0.5, 0.5]


@pytest.mark.parametrize("unit", ["epoch", "step"])
@pytest.mark.parametrize("convention", ["torch", "keras"])
def test_resumed_at_any_boundary_it_goes_on_as_if_never_stopped(tiny_run, convention, unit):
    """Keras forgets a plateau's history when it resumes."""
    values = [3.0, 2.0, 2.5, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5]
    schedule = halving(patience=1, cooldown=2, convention=convention, unit=unit)
    settings = {**SETTINGS, "epochs": 5, "validate_every": "1 step" if unit == "step" else "1 epoch"}
    whole, keeper = Scripted(values), Keeper()
    result = tiny_run(["schedules", ("script", whole), keeper], schedule=schedule, **settings)
    assert len(set(whole.rates)) > 1
    for state in keeper.states[:-1:4]:
        rest = Scripted(values)
        again = tiny_run(["schedules", ("script", rest)], schedule=schedule, resume=state, **settings)
        assert rest.rates == whole.rates[state["counters"]["step"] :]
        for name, weight in again.state["model"].items():
            assert torch.equal(weight, result.state["model"][name])


def test_a_validation_more_often_than_epochs_is_remembered_to_the_end_of_the_epoch(tiny_run):
    values = itertools.chain([3.0, 2.0], [2.0] * 20)
    settings = {**SETTINGS, "epochs": 4, "steps": 3, "validate_every": "2 steps"}
    whole, keeper = Scripted(list(values)), Keeper()
    schedule = halving(patience=0)
    tiny_run(["schedules", ("script", whole), keeper], schedule=schedule, **settings)
    assert 0.5 in whole.rates
    for state in keeper.states[1::3]:
        rest = Scripted(whole.values)
        tiny_run(["schedules", ("script", rest)], schedule=schedule, resume=state, **settings)
        assert rest.rates == whole.rates[state["counters"]["step"] :]


def test_the_metric_comes_before_the_schedule_and_the_schedule_before_the_decision(tiny_run, hook_recorder):
    tiny_run(["schedules", hook_recorder], schedule=("reduce_on_plateau", {}), optimizer=sgd, epochs=1, steps=1)
    hook_recorder.assert_order("on_metrics", "on_epoch_end", "on_metrics", "on_schedule_step", "decide", "persist")


def test_a_metric_that_nobody_logs_is_an_error_with_a_suggestion(tiny_run):
    """Keras warns, every epoch, and never reduces."""
    with pytest.raises(ConfigError, match=r"schedule\.monitor: nobody logs 'val/los'\. Did you mean 'val/loss'\?"):
        tiny_run(["schedules"], schedule=halving(monitor="val/los"), **SETTINGS)
    with pytest.raises(ConfigError, match="nobody logs 'train/f1'"):
        tiny_run(["schedules"], schedule=halving(monitor="train/f1"), **SETTINGS)


def test_a_validation_metric_without_a_validation_is_an_error_before_training(tiny_run):
    with pytest.raises(ConfigError, match="there is no validation in this run"):
        tiny_run(["schedules"], schedule=halving(), validate_every="never", **SETTINGS)


def test_what_keras_swallows_is_an_error_here(tiny_run):
    """ReduceLROnPlateau takes any keyword without a word."""
    with pytest.raises(ConfigError, match=r"schedule\.patence: unknown option\. Did you mean 'patience'"):
        tiny_run(["schedules"], schedule=halving(patence=3), **SETTINGS)


def test_a_state_that_is_no_plateaus_is_an_error_that_says_how_to_go_on(tiny_run):
    half = tiny_run(["schedules", Scripted([1.0])], schedule=halving(), **{**SETTINGS, "epochs": 2})
    broken = copy.deepcopy(half.state)
    broken["schedules"][0]["state"]["waited"] = "many"
    with pytest.raises(ConfigError, match=r"the state of schedule 0 does not fit: .*'many'.*strict_resume=false"):
        tiny_run(["schedules", Scripted([1.0])], schedule=halving(), resume=broken, **SETTINGS)


def test_a_schedule_with_a_memory_may_be_added_and_dropped_on_the_way(tiny_run, caplog):
    half = tiny_run(["schedules"], schedule="constant", **{**SETTINGS, "epochs": 2})
    more = tiny_run(["schedules"], schedule="reduce_on_plateau", resume=half.state, **{**SETTINGS, "epochs": 3})
    assert "has none for the schedule Plateau, which begins here" in caplog.text
    tiny_run(["schedules"], schedule="constant", resume=more.state, **{**SETTINGS, "epochs": 4})
    assert "the state of the schedule Plateau is dropped" in caplog.text
