"""What a row is: its id, its line in the queue, and the request that it becomes."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import urlencode

from hookloop.loggers import encode_row

Format = Literal["json", "form"]
Layout = Literal["row", "keras"]

RUN_FILE = "run"


class Place(NamedTuple):
    """Where in a run a row belongs; ``nth`` tells those of one boundary apart. Places are in the order of a run."""

    step: int
    epoch: int
    nth: int = 0


Counts = tuple[int, int, int]  # the same as a tuple of no class of its own, which takes a fifth of the time to make


# A row in the making: where it belongs, its metrics, and when they were logged, in seconds since 1970.
Logged = tuple[Counts, dict[str, float], float]


def metrics_of(row: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics of a row of the run."""
    metrics = dict(row)
    del metrics["step"], metrics["epoch"], metrics["time"]
    return metrics


def run_id(directory: Path, *, anew: bool) -> str:
    """Return the id of the run that *directory* belongs to, which is the same after a resume. Raises OSError."""
    path = directory / RUN_FILE
    if not anew:
        with suppress(OSError, ValueError):
            return str(uuid.UUID(path.read_text(encoding="ascii").strip()))
    made = str(uuid.uuid4())
    directory.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(made + "\n", encoding="ascii")
    part.replace(path)
    return made


def digest(metrics: Mapping[str, Any]) -> bytes:
    """Return what equal metrics have in common, and others have not."""
    return hashlib.blake2b(encode_row(metrics), digest_size=16).digest()


def decode(line: bytes) -> dict[str, Any] | None:
    """Return the row of *line*, None when it is none."""
    with suppress(ValueError):
        row = json.loads(line)
        if isinstance(row, dict) and isinstance(row.get("id"), str) and isinstance(row.get("metrics"), dict):
            return row
    return None


def place_of(row: Mapping[str, Any], run: str) -> Place | None:
    """Return where in the training of *run* the row belongs; None for one of another run, or of an evaluation."""
    start, _, rest = str(row["id"]).partition(":train:")
    with suppress(ValueError, TypeError):
        return Place(*map(int, rest.split(":"))) if start == run else None
    return None


class Chooser:
    """Chooses metrics by patterns, each name once."""

    def __init__(self, include: Sequence[str], exclude: Sequence[str]) -> None:
        self._include = tuple(include)
        self._exclude = tuple(exclude)
        self._known: dict[str, bool] = {}
        self._takes_all = self._include == ("*",) and not self._exclude

    def choose(self, metrics: dict[str, float]) -> dict[str, float]:
        """Return those of *metrics* that are wanted."""
        if self._takes_all:
            return metrics
        return {name: value for name, value in metrics.items() if self._wanted(name)}

    def _wanted(self, name: str) -> bool:
        if name not in self._known:
            included = any(fnmatch.fnmatchcase(name, each) for each in self._include)
            self._known[name] = included and not any(fnmatch.fnmatchcase(name, each) for each in self._exclude)
        return self._known[name]


class Wire(NamedTuple):
    """How a row is written into a request."""

    format: Format = "json"
    field: str = "data"
    layout: Layout = "row"

    def request(self, line: bytes, row: Mapping[str, Any]) -> tuple[bytes, dict[str, str]]:
        """Return the body for the row of *line*, and its headers."""
        if self.layout == "keras":
            line = encode_row({"epoch": max(0, row["epoch"] - 1), **row["metrics"]})
        headers = {"Idempotency-Key": row["id"], "Content-Type": "application/json"}
        if self.format == "json":
            return line, headers
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        return urlencode({self.field: line.decode()}).encode(), headers
