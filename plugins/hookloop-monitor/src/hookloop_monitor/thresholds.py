"""Warnings about a metric that passes a threshold, such as ``"> 85"``."""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import AfterValidator

OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
FORM = re.compile(r"\s*(>=|<=|>|<)\s*([+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*")


@dataclass(frozen=True)
class Threshold:
    """One side of a number: a value beyond it is worth a warning."""

    symbol: str
    limit: float

    @classmethod
    def parse(cls, text: str) -> Threshold:
        """Read "> 85"; ValueError says how to write one."""
        match = FORM.fullmatch(text)
        if match is None:
            raise ValueError(f"'{text}' must be one of >, >=, <, <= and a number, such as '> 85'")
        return cls(match[1], float(match[2]))

    def passed_by(self, value: float) -> bool:
        """Return whether *value* is worth a warning."""
        return OPERATORS[self.symbol](value, self.limit)

    def __str__(self) -> str:
        return f"{self.symbol} {self.limit:g}"


def check_threshold(text: str) -> str:
    """Return *text* if it is a threshold."""
    Threshold.parse(text)
    return text


def check_metric(name: str) -> str:
    """Return *name* if it may be one of what the monitor logs."""
    if not name.startswith("system/"):
        raise ValueError(f"'{name}' must begin with 'system/', such as 'system/gpu*/temperature_celsius'")
    return name


ThresholdText = Annotated[str, AfterValidator(check_threshold)]
MetricPattern = Annotated[str, AfterValidator(check_metric)]


class Watch:
    """Tells when a metric passes its threshold, and when it is back: once each, not with every sample."""

    def __init__(self, thresholds: Mapping[str, Threshold]) -> None:
        self._thresholds = thresholds
        self._beyond: set[tuple[str, str]] = set()
        self._met: set[str] = set()
        self._names: set[str] = set()

    @classmethod
    def parse(cls, thresholds: Mapping[str, str]) -> Watch:
        """Return the watch over metric → threshold as they are written; ValueError for what is none."""
        return cls({pattern: Threshold.parse(text) for pattern, text in thresholds.items()})

    def check(self, values: Mapping[str, float]) -> Iterator[tuple[bool, str]]:
        """Yield (is beyond, message) for each metric of a sample that has passed its threshold or come back."""
        if not self._thresholds:
            return
        self._names.update(values)
        for pattern, threshold in self._thresholds.items():
            for name in values:
                if name == pattern or fnmatchcase(name, pattern):
                    self._met.add(pattern)
                    yield from self._check_one(pattern, name, values[name], threshold)

    def _check_one(self, pattern: str, name: str, value: float, threshold: Threshold) -> Iterator[tuple[bool, str]]:
        beyond, was = threshold.passed_by(value), (pattern, name) in self._beyond
        if beyond and not was:
            self._beyond.add((pattern, name))
            yield True, f"{name} is {value:g}, {threshold}"
        elif was and not beyond:
            self._beyond.remove((pattern, name))
            yield False, f"{name} is {value:g}, no longer {threshold}"

    def unmet(self) -> Iterator[str]:
        """Yield a message for each name under which nothing was ever read."""
        for pattern in self._thresholds.keys() - self._met:
            # What is near to a pattern is near to its letters, and not to what it means.
            near = [] if "*" in pattern else difflib.get_close_matches(pattern, sorted(self._names), n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            yield f"warn: nothing was read under '{pattern}'.{hint}"
