"""A training with everything that a resume can get wrong, for test_checkpoint_chaos.py to kill.

It is loaded by its path from a configuration, in a process of its own.
"""

import hashlib
import json
import random

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from hookloop import SupervisedTask, hookimpl

SAMPLES, FEATURES, CLASSES, BATCH = 98, 12, 3, 8


class Augmented(Dataset):
    """Rows of noise from every stream, with a class and their own number."""

    def __init__(self, count=SAMPLES):
        generator = torch.Generator().manual_seed(5)
        self.rows = torch.randn(count, FEATURES, generator=generator)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        noise = torch.randn(FEATURES) + random.gauss(0, 1) + float(np.random.standard_normal())
        return self.rows[index] + 0.1 * noise, index % CLASSES, index


def build(workers=2):
    """Return a classifier with batch norm and dropout, on shuffled and augmented data."""
    layers = [torch.nn.Linear(FEATURES, 32), torch.nn.BatchNorm1d(32), torch.nn.ReLU(), torch.nn.Dropout(0.3)]
    return SupervisedTask(
        torch.nn.Sequential(*layers, torch.nn.Linear(32, CLASSES)),
        train=DataLoader(Augmented(), batch_size=BATCH, shuffle=True, num_workers=workers),
        val=DataLoader(Augmented(30), batch_size=BATCH),
    )


class Witness:
    """Keeps which samples were trained on, in order, and at the end writes down what the run came to."""

    role = "observer"

    def __init__(self):
        self.order = []

    @hookimpl
    def on_batch_end(self, run):
        self.order.append(run.batch[2].tolist())

    @hookimpl
    def on_run_end(self, run, outcome):
        if outcome == "completed":
            facts = {"weights": sha256(run.model.state_dict()), "order": self.order, "step": run.step}
            facts["optimizer"] = sha256(moments(run.optimizers[0]))
            (run.directory / "end.json").write_text(json.dumps(facts))

    def state_dict(self):
        return {"order": self.order}

    def load_state_dict(self, state):
        self.order = [list(each) for each in state["order"]]


def moments(optimizer):
    """Return the tensors that the optimizer keeps, by name."""
    state = optimizer.state_dict()["state"]
    return {f"{number}.{name}": value for number, each in state.items() for name, value in each.items()}


def sha256(tensors):
    """Return the hash of names and bytes of *tensors*."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
