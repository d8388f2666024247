"""What the tests share: plugins that do one thing in one hook, and what was logged."""

import logging

import pytest

from hookloop import hookimpl


def acting(hook, act, role="observer", **order):
    """Return a plugin that calls *act* with the run in *hook*."""

    def do(self, run):
        return act(run)

    return type("Acting", (), {"role": role, hook: hookimpl(do, **order)})()


@pytest.fixture(name="acting")
def acting_fixture():
    """A function that makes a plugin of a hook and a function of the run."""
    return acting


@pytest.fixture
def passing(fake_clock):
    """A function that makes a plugin which lets so many seconds pass in a hook."""

    def make(hook, seconds, **order):
        return hook, acting(hook, lambda run: fake_clock.advance(seconds), **order)

    return make


@pytest.fixture
def messages(caplog):
    """A function that returns what these plugins said at a level."""
    caplog.set_level(logging.INFO, logger="hookloop.profiler")
    return lambda level: [
        each.getMessage() for each in caplog.records if each.levelname == level and each.name == "hookloop.profiler"
    ]
