"""The options of ``[run]``: the same names in TOML, on the command line and as keyword arguments of `Engine`.

They are a plain dataclass, not a pydantic model: importing pydantic and building one model takes longer than
everything else that the engine does before its first step.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from hookloop.errors import suggest
from hookloop.interval import HOW_TO_WRITE, Interval

EVERY_50_STEPS, EVERY_EPOCH = Interval(50, "step"), Interval(1, "epoch")

Precision = Literal["fp32", "bf16-mixed", "fp16-mixed"]


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How long, how often, on what, and where.

    Attributes:
        name: the folder of this run's directories, ``runs/NAME/ID``.
        seed: for python, numpy, torch, every device, and the loaders' workers.
        max_epochs, max_steps, max_seconds: the run ends at the first that is reached; one is needed to train.
        device: ``"auto"`` for the accelerator where there is one, or anything that ``torch.device`` takes.
        precision: ``"fp32"``, or autocast with ``"bf16-mixed"`` or, with a scaled loss, ``"fp16-mixed"``.
        accumulate: micro-batches to one optimizer update, each weighted by its samples.
        clip_grad_norm, clip_grad_value: bounds of the gradients before an update.
        log_every: how often metrics are read from the device and written.
        validate_every: how often to validate; ``"never"`` switches it off.
        threads: torch's threads on the CPU; None leaves them as they are.
        deterministic: let torch use deterministic algorithms only.
        runs_dir: where the directories of all runs go. run_dir: the very directory of this run.
        overwrite: allow to replace a run that ``run_dir`` holds already.
        strict_resume: False lets a run resume into a changed model, with what fits of the state.
    """

    name: str = "run"
    seed: int = 0
    max_epochs: int | None = None
    max_steps: int | None = None
    max_seconds: float | None = None
    device: str = "auto"
    precision: Precision = "fp32"
    accumulate: int = 1
    clip_grad_norm: float | None = None
    clip_grad_value: float | None = None
    log_every: Interval = EVERY_50_STEPS
    validate_every: Interval | None = EVERY_EPOCH
    threads: int | None = None
    deterministic: bool = False
    runs_dir: str = "runs"
    run_dir: str | None = None
    overwrite: bool = False
    strict_resume: bool = True


POSITIVE = (
    "max_epochs", "max_steps", "max_seconds", "accumulate", "clip_grad_norm", "clip_grad_value", "threads",
)  # fmt: skip


def read_run_options(table: Mapping[str, Any]) -> tuple[RunOptions, dict[str, str]]:
    """Return the options in *table*, and what is wrong with it as ``{key: message}``; wrong keys keep their default."""
    hints = get_type_hints(RunOptions)
    good: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for key, value in table.items():
        if key not in hints:
            problems[key] = f"unknown option.{suggest(key, hints)}"
            continue
        try:
            good[key] = convert(key, value, hints[key])
        except ValueError as error:
            problems[key] = str(error)
    return RunOptions(**good), problems


def convert(key: str, value: Any, hint: Any) -> Any:
    """Return *value* as the type of option *key*; ValueError says what was wanted."""
    wanted = get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if value is None and type(None) in wanted:
        return None
    kind = wanted[0]
    if kind is Interval:
        return None if value == "never" and type(None) in wanted else to_interval(value)
    if get_origin(kind) is Literal:
        choices = get_args(kind)
        if value not in choices:
            listed = ", ".join(f"'{choice}'" for choice in choices)
            raise ValueError(f"got {value!r}, expected one of {listed}.{suggest(str(value), choices)}")
        return value
    if kind is float and type(value) is int:
        value = float(value)
    if kind is str and hasattr(value, "__fspath__"):
        value = str(value)
    if type(value) is not kind:
        raise ValueError(f"got {value!r} ({describe(value)}), expected {NAMES[kind]}")
    if key in POSITIVE and not value > 0:
        raise ValueError(f"got {value!r}, expected more than 0")
    if key == "seed" and not 0 <= value < 2**63:
        raise ValueError(f"got {value!r}, expected 0 or more, below 2**63")
    return value


def to_interval(value: Any) -> Interval:
    """Return *value* as an interval; ValueError says how one is written."""
    if isinstance(value, Interval):
        return value
    if not isinstance(value, str):
        raise ValueError(f"got {value!r} ({describe(value)}). {HOW_TO_WRITE}")
    return Interval.parse(value)


NAMES = {int: "a whole number", float: "a number", str: "a string", bool: "true or false"}


def describe(value: Any) -> str:
    """Return what kind of TOML value *value* is."""
    return NAMES.get(type(value), f"a {type(value).__name__}")


def as_table(options: RunOptions) -> dict[str, Any]:
    """Return *options* as they stand in TOML, without those that are None."""
    table = {field.name: getattr(options, field.name) for field in fields(options)}
    table["log_every"] = str(options.log_every)
    table["validate_every"] = "never" if options.validate_every is None else str(options.validate_every)
    return {key: value for key, value in table.items() if value is not None}
