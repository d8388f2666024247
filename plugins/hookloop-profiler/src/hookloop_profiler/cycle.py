"""One cycle of torch.profiler: warm up, record, write what was recorded."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.profiler import profile

    from hookloop_profiler.profiler_options import ProfilerConfig

DEVICE_ACTIVITIES = ("CUDA", "XPU", "MTIA", "HPU", "PrivateUse1")


def busy() -> bool:
    """Return whether somebody is profiling in this process: of two at a time, torch silently drops the one's data."""
    import torch

    return bool(torch.autograd._profiler_enabled())  # type: ignore[no-untyped-call,attr-defined,unused-ignore]


def start_cycle(config: ProfilerConfig, ready: Callable[[profile], None]) -> profile:
    """Return a profiler that has begun to warm up; it calls *ready* once it has recorded, or is stopped meanwhile."""
    from torch import profiler

    supported = profiler.supported_activities()  # type: ignore[no-untyped-call,unused-ignore]
    wanted = [each for each in supported if each.name in ("CPU", *DEVICE_ACTIVITIES)]
    made = profiler.profile(
        activities=wanted,
        schedule=profiler.schedule(wait=0, warmup=config.warmup, active=config.active, repeat=1),
        on_trace_ready=ready,
        record_shapes=config.shapes or config.memory_timeline,
        profile_memory=config.memory or config.memory_timeline,
        with_stack=config.stacks or config.memory_timeline,
        with_flops=config.flops,
    )
    made.start()
    return made


def write_files(profiled: profile, config: ProfilerConfig, stem: Path, device: str) -> list[str]:
    """Write trace, table and memory timeline as *stem* with their own endings; return what could not be had, and why.

    Each is written whatever happens to the others: a full disk is no reason to end a training.
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    trace = stem.with_name(stem.name + (".trace.json.gz" if config.compress else ".trace.json"))
    steps: list[tuple[str, Callable[[], object]]] = [
        ("the trace", lambda: profiled.export_chrome_trace(str(trace))),
        ("the table of operators", lambda: write_table(profiled, config, stem)),
    ]
    if config.memory_timeline:
        timeline = stem.with_name(stem.name + ".memory.json")
        steps.append(("the memory timeline", lambda: write_memory_timeline(profiled, timeline, device)))
    problems = []
    for what, write in steps:
        try:
            write()
        except Exception as error:
            problems.append(f"{what} could not be written: {type(error).__name__}: {error}")
    return problems


def write_table(profiled: profile, config: ProfilerConfig, stem: Path) -> None:
    """Write the operators that took most, as text."""
    rows = profiled.key_averages(group_by_input_shape=config.shapes)
    table = rows.table(sort_by=config.sort_by, row_limit=config.rows)
    stem.with_name(stem.name + ".operators.txt").write_text(table, encoding="utf-8")


def write_memory_timeline(profiled: Any, path: Path, device: str) -> None:
    """Write how much memory was in use for what; RuntimeError where torch has given that up."""
    export = getattr(profiled, "export_memory_timeline", None)
    if export is None:
        raise RuntimeError("this torch has none any more; the plugin memory-snapshot shows the memory of a GPU")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is deprecated
        export(str(path), device)
