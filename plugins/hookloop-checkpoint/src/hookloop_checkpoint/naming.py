"""Names of snapshots: a template such as ``epoch-{epoch}-{val/loss:.4f}`` becomes a name that any file system takes.

Nothing ever reads a name again, as what a snapshot holds stands in its manifest. So a template may say anything, and
what a directory cannot be called is replaced.
"""

from __future__ import annotations

import difflib
import itertools
import logging
import re
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from hookloop import Run

log = logging.getLogger("hookloop.checkpoint")

DEFAULT = "step-{step:08}"
COUNTERS = ("step", "epoch", "batch_index", "samples")
HOW_TO_WRITE = (
    f"Write a counter ({', '.join(COUNTERS)}) or a metric in braces, as in 'step-{{step:08}}' or "
    "'epoch-{epoch}-{val/loss:.4f}'."
)
LONGEST_BYTES = 160  # a file system allows 255, and while it is written a name is part of a longer one
UNFIT = re.compile(r"[^\w.=+-]+")


class Field(NamedTuple):
    """A place in a template: what goes there, and how it is formatted."""

    key: str
    spec: str
    conversion: str | None


def check_template(template: str) -> str:
    """Return *template* if it can make names; ValueError says what is wrong with it."""
    try:
        fields = fields_of(template)
    except ValueError as error:
        raise ValueError(f"'{template}' is no template: {error}. {HOW_TO_WRITE}") from None
    for field in fields:
        if fault := fault_of(field):
            raise ValueError(f"'{template}': {fault}. {HOW_TO_WRITE}")
    if not fields and not sanitised(template):
        raise ValueError(f"'{template}' leaves nothing of a name. {HOW_TO_WRITE}")
    return template


def fields_of(template: str) -> list[Field]:
    """Return the places of *template*; ValueError for one whose braces do not match."""
    parsed = string.Formatter().parse(template)
    return [Field(key, spec or "", conversion) for _, key, spec, conversion in parsed if key is not None]


def fault_of(field: Field) -> str:
    """Return what is wrong with *field* whatever a run logs, or an empty string.

    A word without a slash may be a metric as well, so it is refused only where it looks like a counter.
    """
    if field.conversion:
        return f"'!{field.conversion}' has no meaning here"
    if not field.key or field.key.isdecimal():
        return f"'{{{field.key}}}' names nothing"
    near = difflib.get_close_matches(field.key, COUNTERS, n=1, cutoff=0.6)
    if near and field.key not in COUNTERS:
        return f"there is no counter '{field.key}'. Did you mean '{near[0]}'?"
    try:
        format(1 if field.key in COUNTERS else 0.5, field.spec)
    except ValueError as error:
        return f"'{{{field.key}:{field.spec}}}' cannot be formatted: {error}"
    return ""


def missing_keys(template: str, values: Mapping[str, float]) -> list[str]:
    """Return what *template* needs and *values* lack."""
    return [field.key for field in fields_of(template) if field.key not in values]


def make_name(template: str, values: Mapping[str, float]) -> str:
    """Return the name that *template* makes of *values*, counters and metrics. KeyError for what is missing."""
    return sanitised("".join(pieces(template, values))) or sanitised(make_name(DEFAULT, values))


def pieces(template: str, values: Mapping[str, float]) -> Iterator[str]:
    """Yield text and formatted values in turn; a key is taken whole, whatever dots, slashes and dashes it holds."""
    for text, key, spec, _ in string.Formatter().parse(template):
        yield text
        if key is not None:
            yield format(values[key], spec or "")


def sanitised(text: str) -> str:
    """Return *text* as the name of one directory that is not hidden."""
    name = UNFIT.sub("_", text).lstrip(".")
    return name.encode()[:LONGEST_BYTES].decode(errors="ignore")


def unused_name(name: str, step: int, is_taken: Callable[[str], bool]) -> str:
    """Return *name*, or where that is taken the same with the step, and if need be a number, after it."""
    with_step = f"{name}-step-{step:08}"
    further = (f"{with_step}-{number}" for number in itertools.count(2))
    return next(each for each in itertools.chain((name, with_step), further) if not is_taken(each))


class Namer:
    """Names the snapshots of one instance by *template*, and by the default where a metric is not known yet."""

    def __init__(self, template: str, instance: str) -> None:
        self.template = template
        self.instance = instance
        self._warned: set[str] = set()

    def name(self, run: Run, measured: Mapping[str, float], is_taken: Callable[[str, int], bool]) -> str:
        """Return the name of a snapshot of now; *measured* is what was measured on these very weights."""
        counters = {name: getattr(run, name) for name in COUNTERS}
        values = {**run.metrics, **measured, **counters}
        missing = missing_keys(self.template, values)
        self.warn_of(missing, sorted(values.keys() - counters.keys()))
        name = make_name(DEFAULT if missing else self.template, values)
        return unused_name(name, run.step, lambda each: is_taken(each, run.step))

    def warn_of(self, missing: Sequence[str], metrics: Sequence[str]) -> None:
        """Warn of each metric that is *missing*, once."""
        for key in missing:
            if key not in self._warned:
                self._warned.add(key)
                near = difflib.get_close_matches(key, metrics, n=1)
                log.warning(
                    "%s: there is no metric '%s' yet, so a snapshot is called '%s' and not '%s'.%s Metrics so far: %s",
                    self.instance,
                    key,
                    DEFAULT,
                    self.template,
                    f" Did you mean '{near[0]}'?" if near else "",
                    ", ".join(metrics) or "none",
                )
