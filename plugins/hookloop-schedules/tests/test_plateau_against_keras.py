"""``convention = "keras"`` against Keras itself, on random sequences; skipped where Keras is not installed."""

import importlib.util
import json
import math
import os
import random
import subprocess
import sys

import pytest
import torch

from hookloop_schedules.plateau import reduce_on_plateau

pytestmark = pytest.mark.skipif(importlib.util.find_spec("keras") is None, reason="keras is not installed")

SEQUENCES = 500
KINDS = (math.inf, -math.inf, 1e30, 0.0)

# Keras has a process of its own: it chooses its backend when it is imported, and warns as it likes.
SCRIPT = """
import json, sys
import keras, numpy
class Model:
    pass
class Optimizer:
    pass
answers = []
for case in json.load(sys.stdin):
    model, model.optimizer = Model(), Optimizer()
    model.optimizer.learning_rate = numpy.float32(case["lr"])
    callback = keras.callbacks.ReduceLROnPlateau(monitor="val_loss", **case["options"])
    callback.set_model(model)
    callback.on_train_begin()
    rates = []
    for epoch, value in enumerate(case["values"]):
        model.optimizer.learning_rate = numpy.float32(model.optimizer.learning_rate)
        callback.on_epoch_end(epoch, {"val_loss": float(value)})
        rates.append(float(numpy.float32(model.optimizer.learning_rate)))
    answers.append(rates)
json.dump(answers, sys.stdout)
"""


def make_case(seed):
    draw = random.Random(seed)
    values = [draw.choice([1.0, 0.5, draw.random(), round(draw.random(), 1)]) for _ in range(draw.randint(3, 40))]
    for index in range(len(values)):
        if index and draw.random() < 0.05:
            values[index] = math.nan
        elif draw.random() < 0.15:
            values[index] = draw.choice([*KINDS, values[max(index - 1, 0)], values[max(index - 1, 0)] - 1e-4])
    options = {
        "mode": draw.choice(["min", "max"]),
        "factor": draw.choice([0.1, 0.2, 0.5, 0.9]),
        "patience": draw.randint(0, 5),
        "cooldown": draw.randint(0, 4),
        "min_delta": draw.choice([0.0, 1e-4, 1e-4, 0.1, draw.random()]),
        "min_lr": draw.choice([0.0, 1e-5, 1e-4, 0.001, 0.01]),
    }
    return {"lr": draw.choice([0.1, 0.01, 0.3, 1.0]), "values": values, "options": options}


def ours_of(case):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=case["lr"])
    plateau = reduce_on_plateau(optimizer, convention="keras", **case["options"])
    rates = []
    for value in case["values"]:
        plateau.step(value)
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


@pytest.fixture(scope="module")
def answers():
    cases = [make_case(seed) for seed in range(SEQUENCES)]
    written = json.dumps([{**case, "values": [str(value) for value in case["values"]]} for case in cases])
    environment = {**os.environ, "KERAS_BACKEND": "torch"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], input=written, capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return list(zip(cases, json.loads(done.stdout), strict=True))


def falls(rates, first):
    return [
        index for index, (old, new) in enumerate(zip([first, *rates], rates, strict=False)) if new < old * (1 - 1e-6)
    ]


def test_it_reduces_when_keras_does_and_to_what_keras_does(answers):
    for case, theirs in answers:
        ours = ours_of(case)
        assert falls(ours, case["lr"]) == falls(theirs, case["lr"]), case
        assert ours == pytest.approx(theirs, rel=1e-6), case


def test_there_were_enough_reductions_ties_infinities_and_nans_among_them(answers):
    assert sum(len(falls(theirs, case["lr"])) for case, theirs in answers) > SEQUENCES
    for unusual in (math.isinf, math.isnan, lambda value: value == 1.0):
        assert sum(any(map(unusual, case["values"])) for case, _ in answers) > SEQUENCES / 4
