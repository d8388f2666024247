"""Conditions on a metric, such as ``"< 0.1"`` or ``"nan"``: each is told of when it becomes true."""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import AfterValidator

OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
KINDS: Mapping[str, Callable[[float], bool]] = {
    "nan": math.isnan,
    "inf": math.isinf,
    "not finite": lambda value: not math.isfinite(value),
}
FORM = re.compile(r"\s*(<=|>=|==|!=|<|>)\s*([+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*")


@dataclass(frozen=True)
class Condition:
    """Something that a number is or is not; ``text`` is how to say it."""

    text: str
    holds: Callable[[float], bool]

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Read "< 0.1"; ValueError says how to write one."""
        word = " ".join(text.lower().split())
        if word in KINDS:
            return cls(word, KINDS[word])
        match = FORM.fullmatch(text)
        if match is None:
            raise ValueError(
                f"'{text}' must be one of <, <=, >, >=, ==, != and a number, such as '< 0.1', or one of "
                f"{', '.join(map(repr, KINDS))}"
            )
        symbol, limit = match[1], float(match[2])
        return cls(f"{symbol} {limit:g}", lambda value: OPERATORS[symbol](value, limit))


def check_conditions(texts: str | tuple[str, ...]) -> str | tuple[str, ...]:
    """Return *texts*, one or several, if they are conditions."""
    if not texts:
        raise ValueError("there is no condition, such as '< 0.1'")
    for text in listed(texts):
        Condition.parse(text)
    return texts


def listed(texts: str | Sequence[str]) -> Sequence[str]:
    """Return a single text as a list of one."""
    return [texts] if isinstance(texts, str) else texts


Conditions = Annotated[str | tuple[str, ...], AfterValidator(check_conditions)]


class Watch:
    """Tells when a condition becomes true: once, and again only after it was false.

    ``met`` are those that are true, as (metric, condition).
    """

    def __init__(self, conditions: Iterable[tuple[str, Condition]]) -> None:
        self.met: set[tuple[str, str]] = set()
        self._conditions = tuple(conditions)
        self._seen: set[str] = set()

    @classmethod
    def parse(cls, conditions: Mapping[str, str | Sequence[str]]) -> Watch:
        """Return the watch over metric → conditions as they are written."""
        return cls((name, Condition.parse(text)) for name, texts in conditions.items() for text in listed(texts))

    def check(self, values: Mapping[str, float]) -> list[str]:
        """Return what has become true by these new values, such as "val/loss is 0.08, < 0.1"."""
        if not self._conditions:
            return []
        self._seen.update(values)
        return [text for pattern, condition in self._conditions for text in self._check_one(pattern, condition, values)]

    def _check_one(self, pattern: str, condition: Condition, values: Mapping[str, float]) -> Iterator[str]:
        for name in matching(pattern, values):
            value, key = values[name], (name, condition.text)
            if not condition.holds(value):
                self.met.discard(key)
            elif key not in self.met:
                self.met.add(key)
                yield f"{name} is {value:g}" + (f", {condition.text}" if condition.text not in KINDS else "")

    def unseen(self, also: Iterable[str] = ()) -> Iterator[str]:
        """Yield a message for each name under which nothing was ever logged, *also* being names of what was."""
        seen = self._seen.union(also)
        for pattern in dict.fromkeys(name for name, _ in self._conditions):
            if not matching(pattern, seen):
                near = difflib.get_close_matches(pattern, sorted(seen), n=1)
                hint = f" Did you mean '{near[0]}'?" if near else ""
                yield f"when: nothing was logged as '{pattern}'.{hint}"


def matching(pattern: str, names: Iterable[str]) -> list[str]:
    """Return those of *names* that *pattern* means."""
    return [name for name in names if name == pattern or fnmatchcase(name, pattern)]
