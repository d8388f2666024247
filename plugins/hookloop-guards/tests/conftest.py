"""What the tests share: runs whose metric is known beforehand, and plugins that do one thing in one hook."""

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


def acting(hook, act, role="actor", **order):
    """Return a plugin that calls *act* with the run in *hook*."""

    def do(self, run):
        return act(run)

    return type("Acting", (), {"role": role, hook: hookimpl(do, **order)})()


@pytest.fixture
def scores():
    """A plugin that logs a metric at the end of each epoch: ``scores([0.3, 0.1])``."""
    return Scores


@pytest.fixture(name="acting")
def acting_fixture():
    """A function that makes a plugin of a hook and a function of the run."""
    return acting


@pytest.fixture
def messages(caplog):
    """A function that returns what was logged at a level by this package."""
    caplog.set_level(logging.INFO, logger="hookloop.guards")

    def at(level="WARNING"):
        return [
            each.getMessage() for each in caplog.records if each.levelname == level and each.name.endswith("guards")
        ]

    return at
