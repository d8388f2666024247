"""How often something happens, written as text ("100 steps", "10 min"), and the bookkeeping of when it is due next."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, get_args

from hookloop.errors import suggest

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema, SchemaSerializer

Unit = Literal["step", "epoch", "sample", "second"]

EXAMPLES = ("100 steps", "1 epoch", "5000 samples", "30 s", "10 min", "2 hours")
HOW_TO_WRITE = "Write a number and a unit, as in " + ", ".join(f"'{example}'" for example in EXAMPLES) + "."

# Each word a user may write, with the unit that it is counted in and how many of that unit it stands for.
_WORDS: dict[str, tuple[Unit, int]] = {
    **dict.fromkeys(("step", "steps"), ("step", 1)),
    **dict.fromkeys(("epoch", "epochs"), ("epoch", 1)),
    **dict.fromkeys(("sample", "samples"), ("sample", 1)),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), ("second", 1)),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), ("second", 60)),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), ("second", 3600)),
    **dict.fromkeys(("d", "day", "days"), ("second", 86400)),
}
_SUGGESTED = ("steps", "epochs", "samples", "seconds", "minutes", "hours", "days")
_NUMBER = re.compile(r"[+-]?(?:\d+(?:_\d+)*)?(?:\.\d+)?(?:[eE][+-]?\d+)?")


@dataclass(frozen=True, slots=True)
class Interval:
    """A positive *count* of a *unit*; a field of this type in a pydantic model is read from text.

    Steps, epochs and samples are whole numbers. Raises ValueError for a count that nothing could be due by.
    """

    count: int | float
    unit: Unit
    __pydantic_serializer__: ClassVar[SchemaSerializer]

    def __post_init__(self) -> None:
        if self.unit not in get_args(Unit):
            raise ValueError(f"unknown unit '{self.unit}'.{suggest(self.unit, get_args(Unit))} {HOW_TO_WRITE}")
        if not (0 < self.count < math.inf):
            raise ValueError(f"the number of {self.unit}s must be positive, not {self.count}. {HOW_TO_WRITE}")
        if self.unit != "second" and not isinstance(self.count, int):
            raise ValueError(f"{self.unit}s are counted in whole numbers, not {self.count}. {HOW_TO_WRITE}")

    @classmethod
    def parse(cls, text: str) -> Interval:
        """Read "100 steps", "1 epoch", "5000 samples", "30 s", "10 min" or "1.5 h"; ValueError says what is wrong."""
        number, word = _split(text)
        if word.lower() not in _WORDS:
            raise ValueError(f"'{text}': unknown unit '{word}'.{suggest(word.lower(), _SUGGESTED)} {HOW_TO_WRITE}")
        unit, factor = _WORDS[word.lower()]
        try:
            return cls(_whole_if_possible(_number(number) * factor), unit)
        except ValueError as error:
            raise ValueError(f"'{text}': {error}") from None

    def __str__(self) -> str:
        count = _whole_if_possible(self.count)
        return f"{count} {self.unit}" if count == 1 else f"{count} {self.unit}s"

    @classmethod
    def _validate(cls, value: object) -> Interval:
        if isinstance(value, Interval):
            return value
        if isinstance(value, str):
            return cls.parse(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            raise ValueError(f"{value} has no unit. {HOW_TO_WRITE}")
        raise ValueError(f"expected text, got {type(value).__name__}. {HOW_TO_WRITE}")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import SchemaSerializer, core_schema

        as_text = core_schema.plain_serializer_function_ser_schema(str, return_schema=core_schema.str_schema())
        schema = core_schema.no_info_plain_validator_function(cls._validate, serialization=as_text)
        # A field's default in a JSON schema is written without looking at the field's type, by this attribute.
        cls.__pydantic_serializer__ = SchemaSerializer(schema)
        return schema

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "description": f"How often. {HOW_TO_WRITE}", "examples": list(EXAMPLES)}


def _split(text: str) -> tuple[str, str]:
    stripped = text.strip()
    match = _NUMBER.match(stripped)
    number = match.group() if match else ""
    word = stripped[len(number) :].strip()
    if not any(map(str.isdigit, number)):
        raise ValueError(f"'{text}' is not an interval. {HOW_TO_WRITE}")
    if not word:
        raise ValueError(f"'{text}' has no unit. {HOW_TO_WRITE}")
    return number, word


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _whole_if_possible(count: int | float) -> int | float:
    return int(count) if isinstance(count, float) and count.is_integer() else count


class Counters(Protocol):
    """What a trigger reads of a run."""

    @property
    def step(self) -> int:
        """Completed optimizer updates."""

    @property
    def epoch(self) -> int:
        """Completed epochs."""

    @property
    def samples(self) -> int:
        """Samples trained on."""

    @property
    def elapsed_seconds(self) -> float:
        """Time in the run, that before a resume included."""


class Trigger:
    """Answers, at every boundary of one run, whether *interval* is due; at most once for the same boundary.

    Seconds are this process's own clock: where ranks must agree, let one rank ask and tell the others.
    """

    __slots__ = ("_mark", "_steps", "interval")

    def __init__(self, interval: Interval) -> None:
        self.interval = interval
        self._steps = int(interval.count) if interval.unit == "step" else 0
        # Steps, epochs and seconds: where it was last due. Samples: how many there were when last asked.
        self._mark: int | float = 0

    def due(self, run: Counters) -> bool:
        """Whether it is due at the step boundary that *run* stands at."""
        # Asked after every step of a run, so the usual unit is answered here without another call.
        if self._steps:
            step = run.step
            if step % self._steps or step == self._mark:
                return False
            self._mark = step
            return True
        return self._due_by_samples_or_seconds(run)

    def due_at_epoch(self, run: Counters) -> bool:
        """Whether it is due at the epoch boundary that *run* stands at, and was not already at its last step."""
        if self.interval.unit != "epoch":
            return self.due(run)
        if run.epoch % self.interval.count or run.epoch == self._mark:
            return False
        self._mark = run.epoch
        return True

    def _due_by_samples_or_seconds(self, run: Counters) -> bool:
        count = self.interval.count
        if self.interval.unit == "sample":
            before, self._mark = self._mark, run.samples
            return run.samples // count > before // count
        if self.interval.unit == "second" and run.elapsed_seconds - self._mark >= count:
            self._mark = run.elapsed_seconds
            return True
        return False

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs to be due at the same places."""
        return {"interval": str(self.interval), "mark": self._mark}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from *state*; one that was counted in another unit says nothing about this interval and is left."""
        if Interval.parse(state["interval"]).unit == self.interval.unit:
            self._mark = state["mark"]
