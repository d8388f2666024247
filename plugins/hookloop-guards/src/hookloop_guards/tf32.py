"""The plugin ``tf32``: lets float32 be multiplied with fewer bits where that is faster, for the time of a run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Literal

from hookloop import PluginConfig, hookimpl


class Tf32:
    """Sets what torch calls the float32 matmul precision, and puts back what was before, however the run ends."""

    role = "actor"

    class Config(PluginConfig):
        """Options of ``[plugins.tf32]``."""

        matmul: Literal["highest", "high", "medium"] = "high"
        """The precision of matrix products of float32: `highest` is float32, `high` TensorFloat-32, `medium` bfloat16
        where the device has that."""

        convolution: bool = True
        """Whether cuDNN may use TensorFloat-32 in convolutions and recurrent layers."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.before_us = ExitStack()

    @hookimpl
    def on_run_start(self) -> None:
        """Set both."""
        import torch

        self.before_us.callback(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
        torch.set_float32_matmul_precision(self.config.matmul)
        for restore in set_cudnn(self.config.convolution):
            self.before_us.callback(restore)

    @hookimpl
    def on_run_end(self) -> None:
        """Put back what was before."""
        self.before_us.close()


def set_cudnn(allowed: bool) -> list[Callable[[], None]]:
    """Allow or forbid TensorFloat-32 in cuDNN, and return what puts each setting back."""
    import torch

    cudnn: Any = torch.backends.cudnn
    operators = [each for each in (getattr(cudnn, "conv", None), getattr(cudnn, "rnn", None)) if each is not None]
    if not all(hasattr(each, "fp32_precision") for each in operators) or not operators:
        return [exchange(cudnn, "allow_tf32", allowed)]  # torch before 2.9 has one switch for both
    return [exchange(each, "fp32_precision", "tf32" if allowed else "ieee") for each in operators]


def exchange(owner: Any, name: str, value: Any) -> Callable[[], None]:
    """Set the attribute, and return what sets it back."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    return lambda: setattr(owner, name, before)
