"""Against Keras itself: 500 random sequences of a metric, with random options."""

import math
import os
import random
import warnings
from types import SimpleNamespace

import pytest

from hookloop_guards import EarlyStopping

SEQUENCES = 500


@pytest.fixture(scope="module")
def keras():
    os.environ.setdefault("KERAS_BACKEND", "torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("keras", exc_type=ImportError)


def draw_options(draw):
    """Return options by our names."""
    return {
        "mode": draw.choice(["min", "max"]),
        "patience": draw.choice([0, 1, 2, 3, 5]),
        "min_delta": draw.choice([0, 0, 0.1, 0.5, 0.25, 1e-7, -0.1]),
        "baseline": draw.choice([None, None, 0.5, 1, -0.3, math.inf, -math.inf]),
        "start_from": draw.choice([0, 0, 1, 2, 5, 40]),
    }


def draw_values(draw, *, nan):
    """Return a sequence with ties, steps of exactly a tenth, infinities, and NaN if wanted."""
    strange = [math.inf, -math.inf, *([math.nan] * 3 if nan else [])]
    value, values = draw.choice([0.0, 1.0, 5.0]), []
    grid = draw.choice([None, 1, 1, 2])
    for _ in range(draw.randint(1, 30)):
        value += draw.gauss(draw.choice([-0.1, 0, 0.1]), 0.3)
        rounded = value if grid is None else round(value, grid)
        values.append(draw.choice(strange) if draw.random() < 0.06 else rounded)
        if draw.random() < 0.2:
            values.append(values[-1])
    return values


def stopped_by_keras(keras, values, options):
    """Return the epoch, from 0, at which Keras's callback stops, and that of the best weights."""
    renamed = {"start_from_epoch" if name == "start_from" else name: value for name, value in options.items()}
    callback = keras.callbacks.EarlyStopping(monitor="val_loss", restore_best_weights=True, **renamed)
    state = {"epoch": 0, "restored": None}
    model = SimpleNamespace(stop_training=False, get_weights=lambda: state["epoch"])
    model.set_weights = lambda epoch: state.update(restored=epoch)
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, value in enumerate(values):
        state["epoch"] = epoch
        callback.on_epoch_end(epoch, {"val_loss": value})
        if model.stop_training:
            break
    callback.on_train_end()
    return (epoch if model.stop_training else None), state["restored"]


def stopped_by_us(values, options):
    """Return the epoch, from 0, at which the plugin asks to stop, and that in which it saw the best."""
    plugin = EarlyStopping(EarlyStopping.Config(monitor="val/loss", convention="keras", **options))
    stops = []
    run = SimpleNamespace(epoch=0, step=0, metrics={"val/loss": 0.0}, request_stop=stops.append, loaders={})
    plugin.on_run_start()
    plugin.on_fit_start(run)
    kept = None
    for epoch, value in enumerate(values):
        run.epoch, run.step = epoch + 1, 10 * (epoch + 1)
        plugin.on_epoch_end()
        run.fresh_metrics = {"val/loss": value}
        plugin.decide(run)
        kept = plugin.best_step // 10 - 1 if plugin.best_step else None
        if stops:
            return epoch, kept
    return None, kept


def test_without_nan_it_stops_at_the_same_epoch_on_every_sequence(keras):
    draw = random.Random(20240)
    stops = 0
    for number in range(SEQUENCES):
        options, values = draw_options(draw), draw_values(draw, nan=False)
        expected = stopped_by_keras(keras, values, options)
        assert stopped_by_us(values, options) == expected, (number, options, values)
        stops += expected[0] is not None
    assert 100 < stops < SEQUENCES - 50


def test_with_nan_it_never_stops_before_keras_would_without_those_values_and_never_keeps_one(keras):
    """Keras, 1.1: a NaN that is measured first becomes the best, poisons everything, and is restored."""
    draw = random.Random(7)
    better = 0
    for number in range(SEQUENCES):
        options, values = draw_options(draw), draw_values(draw, nan=True)
        stop, kept = stopped_by_us(values, options)
        assert kept is None or not math.isnan(values[kept]), (number, options, values)
        theirs = stopped_by_keras(keras, values, options)
        counted = values[options["start_from"] :]
        if counted and math.isnan(counted[0]):
            better += theirs != (stop, kept)
        else:
            assert (stop, kept) == theirs, (number, options, values)
    assert better > 5
