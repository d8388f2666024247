"""Gradient clipping, by norm and by value."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from hookloop.markers import hookimpl
from hookloop.run import Run


class Clipping:
    """Clips after everyone who looks at the gradients has seen them as they are.

    ``norm`` scales all gradients together so that their Euclidean norm is at most that (Pascanu et al., 2013,
    algorithm 1), and logs the norm before clipping as ``train/grad_norm``; ``value`` clamps each element.
    """

    role = "actor"

    def __init__(self, norm: float | None, value: float | None) -> None:
        self.norm = norm
        self.value = value

    @hookimpl(trylast=True)
    def on_gradients_ready(self, run: Run) -> None:
        """Clip the gradients of every optimizer's parameters."""
        parameters = list(optimized(run))
        if self.norm is not None:
            run.log("train/grad_norm", torch.nn.utils.clip_grad_norm_(parameters, self.norm))
        if self.value is not None:
            torch.nn.utils.clip_grad_value_(parameters, self.value)


def optimized(run: Run) -> Iterator[torch.nn.Parameter]:
    """Yield the parameters that the optimizers update."""
    for optimizer in run.optimizers:
        for group in optimizer.param_groups:
            yield from group["params"]
