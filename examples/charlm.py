"""A language model of characters: a small transformer on the manual that Python itself carries, pydoc_data.topics.

Letters in comments: N windows, T characters of a window, V different characters, D the width of the model.
"""

import math
from pydoc_data.topics import topics

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from hookloop import Task

Batch = list[Tensor]  # characters (N, T), and those that follow each of them (N, T)


def build(context: int = 64, width: int = 64, layers: int = 2, batch_size: int = 32) -> "CharTask":
    """Return the task that charlm.toml trains; its arguments are the keys of [task]."""
    text = "\n".join(topics[name] for name in sorted(topics))
    characters = sorted(set(text))
    number = {character: index for index, character in enumerate(characters)}
    codes = torch.tensor([number[character] for character in text])
    windows = codes[: len(codes) // (context + 1) * (context + 1)].view(-1, context + 1)  # (N, T + 1)
    cut = len(windows) * 9 // 10
    model = CharModel(len(characters), context, width, layers)
    return CharTask(model, windows[:cut], windows[cut:], batch_size)


class CharTask(Task):
    """Predict the next character at each place of a window."""

    def __init__(self, model: nn.Module, train: Tensor, held_out: Tensor, windows_per_batch: int) -> None:
        self.model = model
        self.train = train
        self.held_out = held_out
        self.windows_per_batch = windows_per_batch

    def train_loader(self) -> DataLoader[Batch]:
        return DataLoader(TensorDataset(self.train[:, :-1], self.train[:, 1:]), self.windows_per_batch, shuffle=True)

    def val_loader(self) -> DataLoader[Batch]:
        return DataLoader(TensorDataset(self.held_out[:, :-1], self.held_out[:, 1:]), 128)

    def forward(self, batch: Batch) -> Tensor:
        return self.model(batch[0])  # (N, T, V)

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        return functional.cross_entropy(output.flatten(0, 1), batch[1].flatten())  # nats a character


class CharModel(nn.Module):
    """A causal transformer: (N, T) characters to the logits of the next ones, (N, T, V)."""

    def __init__(self, characters: int, context: int, width: int, layers: int) -> None:
        super().__init__()
        self.character = nn.Embedding(characters, width)
        self.place = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, characters, bias=False)

    def forward(self, codes: Tensor) -> Tensor:
        x = self.character(codes) + self.place.weight[: codes.shape[1]]  # (N, T, D)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class Block(nn.Module):
    """Attention to what came before, then a layer for each place by itself; both add to what goes through."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:  # (N, T, D) -> (N, T, D)
        x = x + self.attention(self.norm_1(x))
        return x + self.mlp(self.norm_2(x))

    def attention(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # each (N, heads, T, D / heads)
        seen = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(seen.transpose(1, 2).flatten(2))


class Perplexity:
    """The exponential of the mean loss: among how many equally likely characters the model still hesitates.

    It is taken once, of the mean over all characters: the mean of the batches' perplexities is another, higher figure.
    """

    def __init__(self) -> None:
        self.nats = torch.zeros(())
        self.characters = 0

    def update(self, output: Tensor, target: Tensor) -> None:
        self.nats = self.nats + functional.cross_entropy(output.flatten(0, 1), target.flatten(), reduction="sum")
        self.characters += target.numel()

    def compute(self) -> float:
        return math.exp(self.nats / self.characters)

    def reset(self) -> None:
        self.nats, self.characters = torch.zeros(()), 0
