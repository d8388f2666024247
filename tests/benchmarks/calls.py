"""Counts Python function calls a step, by cProfile: a measure of overhead that is the same on every machine."""

import cProfile
import pstats

from workload import STEPS, make_batches, make_model, make_optimizer, train_by_engine, train_by_hand

from hookloop import hookimpl


class Profiled:
    """Profiles what lies between ``on_fit_start`` and ``on_fit_end``."""

    role = "observer"

    def __init__(self):
        self.profile = cProfile.Profile()

    @hookimpl
    def on_fit_start(self):
        self.profile.enable()

    @hookimpl
    def on_fit_end(self):
        self.profile.disable()


def calls_above_the_loop(plugins=(), steps=STEPS):
    """Return function calls a step of the engine, builtins included, less those of the hand-written loop."""
    batches = make_batches()[:steps]
    model = make_model()
    optimizer = make_optimizer(model.parameters())
    train_by_hand(model, optimizer, batches[:10])
    profile = cProfile.Profile()
    profile.enable()
    train_by_hand(model, optimizer, batches)
    profile.disable()
    watched = Profiled()
    train_by_engine(make_model(), batches, [watched, *plugins])
    loop, engine = (pstats.Stats(each).total_calls for each in (profile, watched.profile))
    return (engine - loop) / steps
