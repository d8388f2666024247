"""What the tests share: runs whose metric is known beforehand, and a look at what is on disk."""

import logging

import pytest

from hookloop import hookimpl


class Scores:
    """Logs *values* as a metric, one at the end of each epoch; None logs nothing."""

    role = "observer"

    def __init__(self, values, name="val/score"):
        self.values = values
        self.name = name

    @hookimpl
    def on_epoch_end(self, run):
        value = self.values[run.epoch - 1]
        if value is not None:
            run.log(self.name, value)


class StepScores(Scores):
    """Logs *values* as a metric, one at each step."""

    @hookimpl
    def on_epoch_end(self, run):
        pass

    @hookimpl
    def on_step_end(self, run):
        run.log(self.name, self.values[run.step - 1])


def acting(hook, act, at_step=None, before=(), after=()):
    """Return a plugin that calls *act* with the run in *hook*, only at *at_step* if that is given."""

    def do(self, run):
        if at_step is None or run.step == at_step:
            act(run)

    members = {"role": "observer", "before": tuple(before), "after": tuple(after), hook: hookimpl(do)}
    return type("Acting", (), members)()


def saved_in(directory, instance="checkpoint"):
    """Return the names of the snapshots of *instance*, sorted."""
    place = directory / "checkpoints" / instance
    return sorted(each.name for each in place.iterdir() if not each.name.startswith(".")) if place.is_dir() else []


def steps_in(directory, instance="checkpoint"):
    """Return the steps of the snapshots of *instance*, sorted."""
    from hookloop import snapshots

    return sorted(each.step for each in snapshots.find(directory) if each.instance == instance)


def hidden_in(directory, instance="checkpoint"):
    """Return the names of the hidden directories of *instance*, sorted."""
    return sorted(each.name for each in (directory / "checkpoints" / instance).glob(".*"))


@pytest.fixture
def scores():
    """A plugin that logs a metric at the end of each epoch: ``scores([0.3, 0.1])``."""
    return Scores


@pytest.fixture
def step_scores():
    """A plugin that logs a metric at each step."""
    return StepScores


@pytest.fixture(name="acting")
def acting_fixture():
    """A function that makes a plugin of a hook and a function of the run."""
    return acting


@pytest.fixture
def saved():
    """A function that lists the snapshots of an instance by name."""
    return saved_in


@pytest.fixture
def steps():
    """A function that lists the snapshots of an instance by step."""
    return steps_in


@pytest.fixture
def hidden():
    """A function that lists what is no snapshot, or not any more."""
    return hidden_in


@pytest.fixture
def messages(caplog):
    """A function that returns what was logged at a level, by this package."""
    caplog.set_level(logging.INFO, logger="hookloop.checkpoint")

    def at(level="WARNING"):
        return [each.getMessage() for each in caplog.records if each.levelname == level and "checkpoint" in each.name]

    return at
