"""The options of the plugin ``profiler``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeInt

from hookloop import PluginConfig


class ProfilerConfig(PluginConfig):
    """Options of ``[plugins.profiler]``."""

    wait: int = Field(10, ge=0)
    """How many steps to let pass before each profile; there is no profiler in them."""

    warmup: int = Field(2, ge=1)
    """How many steps to profile and throw away: the first ones measure the profiler as well."""

    active: int = Field(3, ge=1)
    """How many steps to keep."""

    repeat: int = Field(1, ge=1)
    """How many profiles to make. They are never endless: each takes memory and disk."""

    validation: bool = False
    """Count the batches of validations within training like steps, and so profile them. Otherwise a validation is
    profiled only where it lies between two steps that are."""

    ranks: list[NonNegativeInt] | Literal["all"] = Field([0])
    """Which processes make profiles: their ranks, or `all`."""

    spans: bool = True
    """Show plugins and hooks in the trace, each as a span."""

    shapes: bool = False
    """Record the shapes of inputs, and have a row of the table for each. Makes steps slower, by a factor of two."""

    memory: bool = False
    """Record how operators take and free memory."""

    stacks: bool = False
    """Record the lines of Python that called an operator. It is slow, and some versions of torch draw wrong spans."""

    flops: bool = False
    """Estimate the operations of matrix products and convolutions, as a column of the table."""

    memory_timeline: bool = False
    """Write the memory over time, by what it is for, where torch still can. It needs shapes, memory and stacks, and
    records them."""

    sort_by: Literal[
        "self_cpu_time_total", "cpu_time_total", "self_device_time_total", "device_time_total", "self_cpu_memory_usage",
        "self_device_memory_usage", "count",
    ] = "self_cpu_time_total"  # fmt: skip
    """What the table of operators is sorted by. On a GPU, `self_device_time_total` is what to look at."""

    rows: int = Field(30, ge=1)
    """How many operators the table has."""

    compress: bool = True
    """Write the trace as `.json.gz`, which Perfetto and Chrome open as well."""
