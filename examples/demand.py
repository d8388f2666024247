"""Plan for enough: an asymmetric loss on the 442 patients with diabetes that come with scikit-learn.

The target is how far the disease will have progressed in a year, a whole number from 25 to 346, here in hundreds. It
stands for the care that a patient is going to need: planning too little costs more than planning too much. It is no
series of days, as no such series comes with scikit-learn; the loss would be the same.
"""

import tempfile
from pathlib import Path

import torch
from sklearn.datasets import load_diabetes
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from hookloop import Engine, SupervisedTask

HELD_OUT = 142  # a third, about
SEEDS = (0, 1)

LOSSES = {
    "mse": {},
    "asymmetric_mse": {"alpha": 4},
    "linex": {"a": 2},
    "pinball": {"quantile": 0.8},
}


def build(hidden: int = 16, batch_size: int = 50) -> SupervisedTask:
    """Return the task that demand.toml trains; its arguments are the keys of [task]."""
    patients, demand = load()
    order = torch.randperm(len(patients), generator=torch.Generator().manual_seed(0))  # the same split for every seed
    train, held_out = order[HELD_OUT:], order[:HELD_OUT]
    return SupervisedTask(
        model=nn.Sequential(nn.Linear(10, hidden), nn.ReLU(), nn.Linear(hidden, 1), nn.Flatten(0)),  # (N, 10) -> (N,)
        train=DataLoader(TensorDataset(patients[train], demand[train]), batch_size, shuffle=True),
        val=DataLoader(TensorDataset(patients[held_out], demand[held_out]), HELD_OUT),
    )


def load() -> tuple[Tensor, Tensor]:
    """Return what is known of patients, standardised, (442, 10), and their demand in hundreds, (442,)."""
    data = load_diabetes()
    known = torch.tensor(data.data, dtype=torch.float32)
    return (known - known.mean(0)) / known.std(0), torch.tensor(data.target, dtype=torch.float32) / 100


def short(output: Tensor, target: Tensor) -> Tensor:
    """Return the share of patients for whom too little was predicted."""
    return (output < target).float().mean()


def shortage(output: Tensor, target: Tensor) -> Tensor:
    """Return how much was lacking, on average over all patients, in hundreds."""
    return (target - output).relu().mean()


def excess(output: Tensor, target: Tensor) -> Tensor:
    """Return how much was too much, on average over all patients, in hundreds."""
    return (output - target).relu().mean()


def compare() -> dict[str, dict[str, float]]:
    """Train with each loss and return, by its name, the metrics on patients not seen, as means over the seeds."""
    found = {}
    for name, options in LOSSES.items():
        runs = [train(name, options, seed) for seed in SEEDS]
        found[name] = {key: sum(run[key] for run in runs) / len(runs) for key in runs[0]}
    return found


def train(loss: str, options: dict[str, float], seed: int) -> dict[str, float]:
    """Return the metrics of a model trained with *loss*."""
    with tempfile.TemporaryDirectory() as directory:
        engine = Engine(
            build, loss=(loss, options), optimizer=("adamw", {"lr": 1e-2}),
            metrics={"short": short, "shortage": shortage, "excess": excess},
            max_epochs=25, seed=seed, device="cpu", threads=1,
            log_every="1000 steps", validate_every="25 epochs", run_dir=Path(directory) / "run",
        )  # fmt: skip
        metrics = engine.fit().metrics
    return {name: metrics[f"val/{name}"] for name in ("short", "shortage", "excess")}


def main() -> None:
    """Print a table of the losses."""
    print(f"{'loss':<16}{'short':>8}{'shortage':>10}{'excess':>8}{'4:1 cost':>10}")
    for name, metrics in compare().items():
        lacking, too_much = 100 * metrics["shortage"], 100 * metrics["excess"]
        print(f"{name:<16}{metrics['short']:>8.0%}{lacking:>10.1f}{too_much:>8.1f}{4 * lacking + too_much:>10.1f}")


if __name__ == "__main__":
    main()
