"""The schedule ``reduce_on_plateau``: lower the rate when a metric has stopped improving, as torch or as Keras counts.

Both count the values since the best one, and they differ in when that is too many, in what an improvement is, and in
what a cooldown is. What they have in common here: NaN is never the best.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from ctypes import c_float
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

from hookloop_schedules.groups import set_rate

if TYPE_CHECKING:
    import torch

log = logging.getLogger("hookloop.schedules")

Convention = Literal["torch", "keras"]
Mode = Literal["min", "max"]
DeltaMode = Literal["rel", "abs"]

LEAST_CHANGE = 1e-8  # torch's eps: a rate that would change by no more is left as it is


@dataclass(frozen=True)
class Rule:
    """The options, checked."""

    convention: Convention
    mode: Mode
    factor: float
    patience: int
    min_delta: float
    min_delta_mode: DeltaMode
    cooldown: int
    min_lr: float


@dataclass(frozen=True)
class Memory:
    """What is remembered: the best value, how many were no better, and for how many more it rests."""

    best: float | None = None
    waited: int = 0
    resting: int = 0


def torch_judgement(rule: Rule, memory: Memory, value: float, reducible: bool) -> tuple[Memory, bool]:
    """Return what to remember, and whether to reduce, as torch.optim.lr_scheduler.ReduceLROnPlateau does.

    It reduces when *more than* ``patience`` values in a row were no better than ``best * (1 - min_delta)``, or with
    ``abs`` than ``best - min_delta``; for ``max`` the signs are the other ones. Then ``cooldown`` values are not
    counted. Whether any rate can be reduced does not matter to it.
    """
    better = improves_as_in_torch(rule, memory.best, value)
    best = value if better else memory.best
    waited = 0 if better else memory.waited + 1
    resting = memory.resting
    if resting:
        resting, waited = resting - 1, 0
    if waited > rule.patience:
        return Memory(best, 0, rule.cooldown), True
    return Memory(best, waited, resting), False


def improves_as_in_torch(rule: Rule, best: float | None, value: float) -> bool:
    """Return whether *value* is better than *best* by more than the threshold."""
    sign = 1.0 if rule.mode == "min" else -1.0
    if best is None:
        best = sign * math.inf
    if rule.min_delta_mode == "rel":
        bar = best * ((1.0 - rule.min_delta) if rule.mode == "min" else (rule.min_delta + 1.0))
    else:
        bar = best - sign * rule.min_delta
    return value < bar if rule.mode == "min" else value > bar


def keras_judgement(rule: Rule, memory: Memory, value: float, reducible: bool) -> tuple[Memory, bool]:
    """Return what to remember, and whether to reduce, as keras.callbacks.ReduceLROnPlateau of Keras 3 does.

    It reduces when ``patience`` values in a row, 0 being as good as 1, were no better than the best by ``min_delta``. A
    cooldown of c leaves out c - 1 values, as the value that ends it is counted: 1 is as good as 0. While no rate is
    above ``min_lr`` it goes on counting. Unlike in Keras, whose first value is the best whatever it is, a NaN there is
    not: Keras would find no better one ever after.
    """
    resting, waited = memory.resting, memory.waited
    if resting:
        resting, waited = resting - 1, 0
    if not math.isnan(value) and (memory.best is None or improves_as_in_keras(rule, memory.best, value)):
        return Memory(value, 0, resting), False
    if resting:
        return Memory(memory.best, waited, resting), False
    waited += 1
    if waited >= rule.patience and reducible:
        return Memory(memory.best, 0, rule.cooldown), True
    return Memory(memory.best, waited, 0), False


def improves_as_in_keras(rule: Rule, best: float, value: float) -> bool:
    """Return whether *value* is better than *best*, both in single precision, in which Keras compares them."""
    delta = rule.min_delta if rule.mode == "max" else -rule.min_delta
    ours, theirs = single(value - delta), single(best)
    return ours < theirs if rule.mode == "min" else ours > theirs


def single(value: float) -> float:
    """Return *value* rounded to single precision; what is too large for it is infinite."""
    return c_float(value).value


JUDGEMENTS: dict[str, Callable[[Rule, Memory, float, bool], tuple[Memory, bool]]] = {
    "torch": torch_judgement,
    "keras": keras_judgement,
}


class Plateau:
    """Applies a rule to an optimizer: one value of the metric after the other goes to ``step``."""

    def __init__(self, optimizer: torch.optim.Optimizer, rule: Rule) -> None:
        self.optimizer = optimizer
        self.rule = rule
        self.memory = Memory()

    def step(self, value: float) -> None:
        """Take a new value of the metric, and reduce the rates if it is one too many."""
        value = float(value)
        reducible = any(self.is_above(float(group["lr"])) for group in self.optimizer.param_groups)
        self.memory, reduces = JUDGEMENTS[self.rule.convention](self.rule, self.memory, value, reducible)
        if reduces:
            self.reduce()

    def is_above(self, lr: float) -> bool:
        """Return whether *lr* is above the lowest one, in single precision, which is that of rates in Keras."""
        return single(lr) > single(self.rule.min_lr)

    def reduce(self) -> None:
        """Multiply each rate by the factor, down to the lowest."""
        for group in self.optimizer.param_groups:
            old = float(group["lr"])
            new = max(old * self.rule.factor, self.rule.min_lr)
            if self.changes(old, new):
                set_rate(group, new)
                log.info("no better than %s for long enough: learning rate %g -> %g", self.memory.best, old, new)

    def changes(self, old: float, new: float) -> bool:
        """Return whether going from *old* to *new* is worth it; torch leaves out what is next to nothing."""
        return old - new > LEAST_CHANGE if self.rule.convention == "torch" else self.is_above(old)

    def state_dict(self) -> dict[str, Any]:
        """Return what is remembered; the options are not in it, so that changed ones take effect on resume."""
        return asdict(self.memory)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from *state*; ValueError for what is no such state."""
        names = {each.name for each in fields(Memory)}
        if {*state} != names:
            raise ValueError(f"it has {', '.join(sorted(state)) or 'nothing'}, and not {', '.join(sorted(names))}")
        if not all(isinstance(state[name], int) and state[name] >= 0 for name in ("waited", "resting")):
            raise ValueError(f"its counts are {state['waited']!r} and {state['resting']!r}")
        best = state["best"]
        if best is not None and (not isinstance(best, (int, float)) or math.isnan(best)):
            raise ValueError(f"its best value is {best!r}")
        self.memory = replace(Memory(**state), resting=min(state["resting"], self.rule.cooldown))


def reduce_on_plateau(
    optimizer: torch.optim.Optimizer,
    convention: Convention = "torch",
    mode: Mode = "min",
    factor: float = 0.1,
    patience: int = 10,
    min_delta: float = 1e-4,
    min_delta_mode: DeltaMode | None = None,
    cooldown: int = 0,
    min_lr: float = 0.0,
) -> Plateau:
    """Multiply the rate by *factor* when the metric was no better for *patience* values, by *convention*.

    The formulas are those of `torch_judgement` and `keras_judgement`. *min_delta_mode* is ``rel`` for torch and
    ``abs`` for Keras unless it is given; Keras has no other.
    """
    if convention not in JUDGEMENTS:
        raise ValueError(f"convention must be 'torch' or 'keras', not {convention!r}")
    if mode not in ("min", "max"):
        raise ValueError(f"mode must be 'min' or 'max', not {mode!r}")
    if not 0 <= factor < 1:
        raise ValueError(f"factor must be from 0 to less than 1, not {factor}")
    if patience < 0 or cooldown < 0:
        raise ValueError(f"patience and cooldown must be 0 or more, not {patience} and {cooldown}")
    if not 0 <= min_delta < math.inf or not 0 <= min_lr < math.inf:
        raise ValueError(f"min_delta and min_lr must be 0 or more, not {min_delta} and {min_lr}")
    kind: DeltaMode = min_delta_mode or ("abs" if convention == "keras" else "rel")
    if kind not in ("rel", "abs") or (convention == "keras" and kind == "rel"):
        raise ValueError(f"min_delta_mode must be 'rel' or 'abs', and 'abs' for Keras, not {kind!r}")
    return Plateau(optimizer, Rule(convention, mode, factor, patience, min_delta, kind, cooldown, min_lr))
