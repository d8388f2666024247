"""Setting learning rates, whatever they are stored as."""

from __future__ import annotations

from typing import Any


def set_rate(group: dict[str, Any], lr: float) -> None:
    """Set the rate of *group*: in place where it is a tensor, which a compiled or captured step goes on reading."""
    if hasattr(group["lr"], "fill_"):
        group["lr"].fill_(lr)
    else:
        group["lr"] = lr
