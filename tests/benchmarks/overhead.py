"""What the engine adds to a hand-written loop. Run it on a quiet machine: python tests/benchmarks/overhead.py [ROUNDS]

Microseconds a step above the loop, by taking turns with it in one process; Python function calls a step above the
loop's, which have no noise; and seconds from the start of a process to the end of its first step.
"""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from calls import calls_above_the_loop
from workload import Turns, make_batches, make_idle, make_model, make_wrapper, train_by_engine, train_by_hand

VARIANTS = {
    "no plugins": list,
    "ten idle plugins, two step hooks each": lambda: [make_idle() for _ in range(10)],
    "one idle wrapper on run_step": lambda: [make_wrapper()],
}

FIRST_STEP_BY_HAND = """
import torch
torch.set_num_threads(1)
from workload import make_batches, make_model, make_optimizer, train_by_hand
model = make_model()
train_by_hand(model, make_optimizer(model.parameters()), make_batches()[:1])
"""
FIRST_STEP_BY_ENGINE = """
import torch
torch.set_num_threads(1)
from workload import make_batches, make_model, train_by_engine
train_by_engine(make_model(), make_batches()[:1])
"""


def overheads(rounds):
    """Return variant → (microseconds above the loop, the loop's own) of each round, the variants taking turns."""
    batches = make_batches()
    measured = {name: [] for name in VARIANTS}
    for _ in range(rounds):
        for name, plugins in VARIANTS.items():
            turns = Turns(batches)
            train_by_engine(make_model(), turns, plugins())
            engine, loop = turns.microseconds_a_step()
            measured[name].append((engine - loop, loop))
    return measured


def weights_agree():
    """Return whether the engine ends with the very weights of the hand-written loop."""
    from workload import make_optimizer

    batches, by_engine, by_hand = make_batches(), make_model(), make_model()
    train_by_engine(by_engine, batches)
    train_by_hand(by_hand, make_optimizer(by_hand.parameters()), batches)
    pairs = zip(by_engine.parameters(), by_hand.parameters(), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


def seconds_to_first_step(code):
    # `workload` imports hookloop for both; the loop's process gets an empty module instead.
    stub = (
        "" if "engine" in code else "import sys, types; sys.modules['hookloop'] = stub = types.ModuleType('hookloop')\n"
    )
    stub += "" if "engine" in code else "stub.Engine = stub.SupervisedTask = stub.hookimpl = None\n"
    begun = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent)}
    subprocess.run([sys.executable, "-c", stub + code], check=True, env=environment)
    return time.perf_counter() - begun


def row(name, values, unit):
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{name:<42} {low:>8.2f} {middle:>8.2f} {high:>8.2f}  {unit}"


def main(rounds):
    torch.set_num_threads(1)
    measured = overheads(rounds)
    loop = [own for pairs in measured.values() for _, own in pairs]
    print(f"{rounds} rounds; same weights as the loop: {weights_agree()}")
    print(f"{'':<42} {'min':>8} {'median':>8} {'max':>8}")
    print(row("hand-written loop", loop, "µs a step"))
    for name, pairs in measured.items():
        print(row(f"+ {name}", [above for above, _ in pairs], "µs a step"))
    print(row("+ no plugins", [calls_above_the_loop()], "Python calls a step"))
    paired = [
        (seconds_to_first_step(FIRST_STEP_BY_HAND), seconds_to_first_step(FIRST_STEP_BY_ENGINE)) for _ in range(rounds)
    ]
    print(row("hand-written loop, process to first step", [loop for loop, _ in paired], "s"))
    print(row("+ no plugins", [engine - loop for loop, engine in paired], "s"))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
