import subprocess
import sys
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, ValidationError

from hookloop.interval import Interval, Trigger


@dataclass
class Run:
    step: int = 0
    epoch: int = 0
    samples: int = 0
    elapsed_seconds: float = 0.0


@dataclass
class Training:
    """Counts like an engine does and notes where a trigger was due."""

    trigger: Trigger
    run: Run = field(default_factory=Run)
    due_steps: list[int] = field(default_factory=list)
    due_epochs: list[int] = field(default_factory=list)

    def step(self, samples: int = 1, seconds: float = 1.0) -> None:
        self.run.step += 1
        self.run.samples += samples
        self.run.elapsed_seconds += seconds
        if self.trigger.due(self.run):
            self.due_steps.append(self.run.step)

    def end_epoch(self) -> None:
        self.run.epoch += 1
        if self.trigger.due_at_epoch(self.run):
            self.due_epochs.append(self.run.epoch)


def training(text: str) -> Training:
    return Training(Trigger(Interval.parse(text)))


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")
    every: Interval = Interval(1, "epoch")


@pytest.mark.parametrize(
    ("text", "count", "unit"),
    [
        ("100 steps", 100, "step"),
        ("1 step", 1, "step"),
        ("1 epoch", 1, "epoch"),
        ("5000 samples", 5000, "sample"),
        ("5_000 samples", 5000, "sample"),
        ("1e3 steps", 1000, "step"),
        ("30 s", 30, "second"),
        ("0.5 s", 0.5, "second"),
        (".5 seconds", 0.5, "second"),
        ("10 min", 600, "second"),
        ("2 hours", 7200, "second"),
        ("1.5 h", 5400, "second"),
        ("1 day", 86400, "second"),
        ("  10   MIN ", 600, "second"),
        ("100steps", 100, "step"),
    ],
)
def test_text_is_read_as_count_and_unit(text, count, unit):
    assert Interval.parse(text) == Interval(count, unit)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [("100 steps", "100 steps"), ("1 epochs", "1 epoch"), ("10 min", "600 seconds"), ("0.5 s", "0.5 seconds")],
)
def test_text_of_an_interval_is_canonical(text, canonical):
    assert str(Interval.parse(text)) == canonical


@given(
    st.builds(Interval, st.integers(1, 10**12), st.sampled_from(["step", "epoch", "sample"]))
    | st.builds(Interval, st.floats(1e-9, 1e12) | st.integers(1, 10**12), st.just("second"))
)
def test_text_of_an_interval_reads_back_equal(interval):
    assert Interval.parse(str(interval)) == interval


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("100 stesp", "unknown unit 'stesp'. Did you mean 'steps'?"),
        ("100 parsecs", "unknown unit 'parsecs'"),
        ("100", "'100' has no unit"),
        ("often", "'often' is not an interval"),
        ("", "'' is not an interval"),
        ("steps 100", "is not an interval"),
        ("0 steps", "must be positive"),
        ("-5 min", "must be positive"),
        ("1e999 s", "must be positive"),
        ("1.5 epochs", "epochs are counted in whole numbers, not 1.5"),
    ],
)
def test_text_that_is_no_interval_is_an_error_that_says_how_to_write_one(text, message):
    with pytest.raises(ValueError, match="as in '100 steps', '1 epoch'") as caught:
        Interval.parse(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(("count", "unit"), [(0, "step"), (2.0, "epoch"), (float("nan"), "second"), (1, "steps")])
def test_an_interval_that_is_never_due_cannot_be_made(count, unit):
    with pytest.raises(ValueError, match="Write a number and a unit"):
        Interval(count, unit)


def test_a_model_reads_an_interval_from_text_and_takes_one_as_it_is():
    assert Options(every="10 min").every == Interval(600, "second")
    assert Options(every=Interval(3, "step")).every == Interval(3, "step")


def test_a_model_writes_its_interval_as_text():
    options = Options(every="2 steps")
    assert options.model_dump() == {"every": "2 steps"}
    assert Options.model_validate_json(options.model_dump_json()) == options


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (100, "100 has no unit. Write a number and a unit"),
        (1.5, "1.5 has no unit"),
        (True, "expected text, got bool"),
        (None, "expected text, got NoneType"),
        ("100 stesp", "Did you mean 'steps'?"),
    ],
)
def test_a_model_refuses_what_is_no_interval(given, message):
    with pytest.raises(ValidationError) as caught:
        Options(every=given)
    assert message in str(caught.value)


def test_the_json_schema_of_an_interval_is_a_string_with_examples():
    schema = Options.model_json_schema()["properties"]["every"]
    assert schema["type"] == "string"
    assert schema["default"] == "1 epoch"
    assert "100 steps" in schema["examples"]
    assert "number and a unit" in schema["description"]


def test_importing_intervals_imports_neither_torch_nor_pydantic():
    code = "import sys, hookloop.interval; print({'torch', 'pydantic', 'pydantic_core'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


def test_steps_are_due_at_each_multiple():
    here = training("3 steps")
    for _ in range(10):
        here.step()
    assert here.due_steps == [3, 6, 9]


def test_steps_are_due_once_for_the_same_step():
    trigger = Trigger(Interval.parse("2 steps"))
    run = Run(step=2)
    assert trigger.due(run)
    assert not trigger.due(run)
    assert not trigger.due_at_epoch(run)


def test_steps_are_due_at_an_epoch_boundary_that_was_not_answered_as_a_step():
    assert Trigger(Interval.parse("2 steps")).due_at_epoch(Run(step=4, epoch=1))


@pytest.mark.parametrize("text", ["1 step", "1 epoch", "1 sample", "1 s"])
def test_nothing_is_due_before_anything_was_done(text):
    trigger = Trigger(Interval.parse(text))
    assert not trigger.due(Run())
    assert not trigger.due_at_epoch(Run())


def test_epochs_are_due_at_epoch_boundaries_only():
    here = training("2 epochs")
    for _ in range(5):
        here.step()
        here.end_epoch()
    assert here.due_steps == []
    assert here.due_epochs == [2, 4]


def test_epochs_are_due_once_for_the_same_epoch():
    trigger = Trigger(Interval.parse("1 epoch"))
    assert trigger.due_at_epoch(Run(epoch=1))
    assert not trigger.due_at_epoch(Run(epoch=1))


def test_samples_are_due_when_a_multiple_was_crossed():
    here = training("10 samples")
    for samples in (4, 4, 4, 8, 25, 1):
        here.step(samples)
    here.end_epoch()
    assert here.due_steps == [3, 4, 5]
    assert here.due_epochs == []


def test_samples_are_due_at_an_epoch_boundary_that_was_not_answered_as_a_step():
    assert Trigger(Interval.parse("10 samples")).due_at_epoch(Run(samples=12, epoch=1))


def test_seconds_are_due_when_enough_passed_since_the_last_time():
    here = training("10 s")
    for seconds in (4, 4, 4, 4, 4, 4):
        here.step(seconds=seconds)
    assert here.due_steps == [3, 6]


def test_seconds_are_due_at_an_epoch_boundary_too():
    here = training("10 s")
    here.step(seconds=8)
    here.run.elapsed_seconds += 5
    here.end_epoch()
    assert here.due_epochs == [1]


@pytest.mark.parametrize("text", ["3 steps", "2 epochs", "7 samples", "5 s"])
@given(stop=st.integers(0, 29), samples=st.integers(1, 5))
def test_a_resumed_run_is_due_at_the_same_places(text, stop, samples):
    whole, first = training(text), training(text)
    resumed = None
    for index in range(30):
        if index == stop:
            resumed = Training(Trigger(Interval.parse(text)), first.run, first.due_steps, first.due_epochs)
            resumed.trigger.load_state_dict(first.trigger.state_dict())
        for one in (whole, resumed or first):
            one.step(samples)
            if index % 4 == 3:
                one.end_epoch()
    assert (first.due_steps, first.due_epochs) == (whole.due_steps, whole.due_epochs)


def test_the_state_of_an_interval_in_another_unit_is_left():
    before = training("1 step")
    for _ in range(50):
        before.step()
    trigger = Trigger(Interval.parse("10 s"))
    trigger.load_state_dict(before.trigger.state_dict())
    assert trigger.due(Run(step=51, elapsed_seconds=12.0))
