"""Miss no cancer: costs and class weights on the 569 tumours that come with scikit-learn.

Class 1 is a cancer. Of those in the training half all but a few are left out, so that they are rare, as in a screening;
the other half is as it is, and has enough of them to count what is missed. Of 30 features there are the ten means: with
all of them there would be little to miss.
"""

import tempfile
from pathlib import Path

import torch
from sklearn.datasets import load_breast_cancer
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from hookloop import Engine, SupervisedTask

HELD_OUT = 285  # half
CANCERS = 20  # in training
SEEDS = (0, 1)


def build(hidden: int = 16, cancers: int = CANCERS, batch_size: int = 32) -> SupervisedTask:
    """Return the task that breast_cancer.toml trains; its arguments are the keys of [task]."""
    tumours, cancer = load()
    train, held_out = split(cancer, cancers)
    tumours = (tumours - tumours[train].mean(0)) / tumours[train].std(0)
    return SupervisedTask(
        model=nn.Sequential(nn.Linear(10, hidden), nn.ReLU(), nn.Linear(hidden, 2)),  # (N, 10) -> logits (N, 2)
        train=DataLoader(TensorDataset(tumours[train], cancer[train]), batch_size, shuffle=True),
        val=DataLoader(TensorDataset(tumours[held_out], cancer[held_out]), HELD_OUT),
    )


def load() -> tuple[Tensor, Tensor]:
    """Return tumours, (569, 10), and whether each is a cancer, (569,)."""
    data = load_breast_cancer()
    return torch.tensor(data.data[:, :10], dtype=torch.float32), 1 - torch.tensor(data.target)


def split(cancer: Tensor, cancers: int) -> tuple[Tensor, Tensor]:
    """Return the numbers of the tumours to train on, with so many *cancers* among them, and of those held out."""
    order = torch.randperm(len(cancer), generator=torch.Generator().manual_seed(0))  # the same split for every seed
    rest, held_out = order[HELD_OUT:], order[:HELD_OUT]
    return torch.cat((rest[cancer[rest] == 0], rest[cancer[rest] == 1][:cancers])), held_out


def missed(output: Tensor, target: Tensor) -> Tensor:
    """Return the missed cancers, as a share of all tumours."""
    return ((output.argmax(1) == 0) & (target == 1)).float().mean()


def false_alarms(output: Tensor, target: Tensor) -> Tensor:
    """Return the false alarms, as a share of all tumours."""
    return ((output.argmax(1) == 1) & (target == 0)).float().mean()


def losses() -> dict[str, dict[str, object]]:
    """Return the losses to compare, with their options."""
    cancer = load()[1]
    counts = torch.bincount(cancer[split(cancer, CANCERS)[0]]).tolist()
    return {
        "cross_entropy": {},
        "cost_sensitive_cross_entropy": {"costs": [[0, 1], [20, 0]]},
        "class_balanced": {"counts": counts},
        "group_balanced": {"loss": "cross_entropy"},
        "focal": {"gamma": 2, "alpha": [0.25, 0.75]},
    }


def compare() -> dict[str, dict[str, float]]:
    """Train with each loss and return, by its name, how many held out it gets wrong, as means over the seeds."""
    found = {}
    for name, options in losses().items():
        runs = [train(name, options, seed) for seed in SEEDS]
        found[name] = {key: sum(run[key] for run in runs) / len(runs) for key in runs[0]}
    return found


def train(loss: str, options: dict[str, object], seed: int) -> dict[str, float]:
    """Return how many cancers a model trained with *loss* misses, and how many false alarms it gives."""
    with tempfile.TemporaryDirectory() as directory:
        engine = Engine(
            build, loss=(loss, options), optimizer=("adamw", {"lr": 1e-2}),
            metrics={"missed": missed, "false_alarms": false_alarms},
            max_epochs=25, seed=seed, device="cpu", threads=1,
            log_every="1000 steps", validate_every="25 epochs", run_dir=Path(directory) / "run",
        )  # fmt: skip
        metrics = engine.fit().metrics
    return {name: HELD_OUT * metrics[f"val/{name}"] for name in ("missed", "false_alarms")}


def main() -> None:
    """Print a table of the losses."""
    cancer = load()[1]
    there = int(cancer[split(cancer, CANCERS)[1]].sum())
    print(f"of {HELD_OUT} tumours, {there} cancers")
    print(f"{'loss':<30}{'missed':>8}{'false alarms':>14}{'20:1 cost':>11}")
    for name, wrong in compare().items():
        cost = 20 * wrong["missed"] + wrong["false_alarms"]
        print(f"{name:<30}{wrong['missed']:>8.1f}{wrong['false_alarms']:>14.1f}{cost:>11.1f}")


if __name__ == "__main__":
    main()
