"""A user's own function as a schedule, and what Keras's LearningRateScheduler does wrong with one."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from hookloop import ConfigError, hookimpl
from hookloop_schedules.own import function


def rates(tiny_run, options, **keywords):
    seen = []

    class Rates:
        role = "observer"

        @hookimpl
        def on_step_start(self, run):
            seen.append(run.optimizers[0].param_groups[0]["lr"])

    settings = {"optimizer": ("sgd", {"lr": 0.5}), "epochs": 2, "steps": 2, **keywords}
    tiny_run(["schedules", Rates()], schedule=("function", options), **settings)
    return seen


def test_a_function_of_progress_and_rate_gives_the_rate(tiny_run):
    assert rates(tiny_run, {"function": lambda t, lr: lr / (t + 1)}) == [0.5, 0.5, 0.25, 0.25]


def test_a_function_of_progress_alone_gives_the_factor(tiny_run):
    assert rates(tiny_run, {"function": lambda t: 0.5**t}) == [0.5, 0.5, 0.25, 0.25]


def test_it_counts_steps_where_keras_counts_epochs_only(tiny_run):
    assert rates(tiny_run, {"function": lambda t: 0.5**t, "unit": "step"}) == [0.5, 0.25, 0.125, 0.0625]


@pytest.mark.parametrize("form", ["own_rates.py:rate", "own_rates.py:Holder.rate"])
def test_it_is_found_in_a_file_with_its_options(tiny_run, tmp_path, monkeypatch, form):
    source = (
        "def rate(t, lr, *, power):\n    return lr / (t + 1) ** power\nclass Holder:\n    rate = staticmethod(rate)\n"
    )
    (tmp_path / "own_rates.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    assert rates(tiny_run, {"function": form, "power": 2}) == [0.5, 0.5, 0.125, 0.125]


def test_a_module_is_found_by_its_name():
    assert function("math:exp")(0, 0.5) == 0.5


@pytest.mark.parametrize("result", [1, np.float32(1), np.float64(1), np.int64(1), torch.tensor(1.0), Fraction(1), True])
def test_any_kind_of_number_will_do(result):
    """Keras refuses the number 1."""
    rate = function(lambda t, lr: result)(0, 0.5)
    assert rate == 1.0
    assert type(rate) is float


@pytest.mark.parametrize("result", [None, "0.1", float("nan"), float("inf"), -0.1, [0.1]])
def test_what_is_no_rate_is_an_error_that_names_the_function_and_the_place(result):
    def wrong(t, lr):
        return result

    with pytest.raises(ConfigError, match=r"schedule: .*wrong gave .* at 7; a number that is 0 or more is wanted"):
        function(wrong)(7, 0.5)


def test_a_type_error_of_the_users_own_comes_out_as_it_is(tiny_run):
    """Keras takes it for a wrong number of arguments, and calls the function again with one."""
    calls = []

    def broken(t, lr):
        calls.append(t)
        raise TypeError("of the user's own")

    with pytest.raises(TypeError, match="of the user's own"):
        rates(tiny_run, {"function": broken})
    assert calls == [0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "needs the option 'function'"),
        ({"function": "nowhere.py:f"}, "there is no file 'nowhere.py' in "),
        ({"function": "no_such_module:f"}, "there is no module 'no_such_module'"),
        ({"function": "math:nothing"}, "there is no 'nothing' in math"),
        ({"function": "math:pi"}, "is of type float, and a function is wanted"),
        ({"function": lambda: 1.0}, "the function takes (); it is called with (t, lr) or (t)"),
        ({"function": lambda t: 1.0, "power": 2}, "and the options power"),
    ],
)
def test_a_mistake_is_told_before_training(tiny_run, options, said):
    with pytest.raises(ConfigError) as caught:
        rates(tiny_run, options)
    assert said in str(caught.value)


def test_an_error_in_a_users_file_comes_out_as_it_is(tmp_path):
    (tmp_path / "broken_rates.py").write_text("1 / 0\n")
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            function(f"{tmp_path}/broken_rates.py:rate")
