"""Handwritten digits: a small convolutional network on the 1797 images of 8x8 pixels that come with scikit-learn."""

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from hookloop import SupervisedTask

HELD_OUT = 360  # every fifth image, about


def build(hidden: int = 64, batch_size: int = 32) -> SupervisedTask:
    """Return the task that digits.toml trains; its arguments are the keys of [task]."""
    images, digits = load()
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))  # the same split for every seed
    train, held_out = order[HELD_OUT:], order[:HELD_OUT]
    return SupervisedTask(
        model=network(hidden),
        train=DataLoader(TensorDataset(images[train], digits[train]), batch_size, shuffle=True),
        val=DataLoader(TensorDataset(images[held_out], digits[held_out]), HELD_OUT),
        predict=DataLoader(TensorDataset(images[held_out], digits[held_out]), HELD_OUT),
    )


def load() -> tuple[Tensor, Tensor]:
    """Return images of shape (1797, 1, 8, 8) in 0..1, and their digits of shape (1797,)."""
    data = load_digits()
    images = torch.tensor(data.images, dtype=torch.float32).unsqueeze(1) / 16
    return images, torch.tensor(data.target)


def network(hidden: int) -> nn.Module:
    """Return a network from (N, 1, 8, 8) to the logits of the ten digits, (N, 10)."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),  # (N, 32, 8, 8)
        nn.ReLU(),
        nn.MaxPool2d(2),  # (N, 32, 4, 4)
        nn.Conv2d(32, hidden, 3, padding=1),  # (N, hidden, 4, 4)
        nn.ReLU(),
        nn.MaxPool2d(2),  # (N, hidden, 2, 2)
        nn.Flatten(),  # (N, 4 * hidden)
        nn.Linear(4 * hidden, 10),
    )


def rows(batch: tuple[Tensor, Tensor], output: Tensor) -> list[dict[str, float]]:
    """Return what the plugin `predictions` writes of one batch: a row for each image."""
    share, guess = output.softmax(-1).max(-1)  # each (N,)
    columns = zip(batch[1].tolist(), guess.tolist(), share.tolist(), strict=True)
    return [{"target": target, "digit": digit, "confidence": confidence} for target, digit, confidence in columns]
