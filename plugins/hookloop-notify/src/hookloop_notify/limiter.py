"""How often messages about conditions may go out, and what was held back since the last one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MOST_NAMED = 10


class Limiter:
    """Lets through one message in *interval_seconds*, by the time in the run, and remembers what it did not."""

    def __init__(self, interval_seconds: float) -> None:
        self.interval_seconds = interval_seconds
        self._last_seconds: float | None = None
        self._named: list[str] = []
        self._count = 0

    def allows(self, now_seconds: float) -> bool:
        """Return whether a message may go out now, and count it if so."""
        last = self._last_seconds
        if last is not None and now_seconds - last < self.interval_seconds:
            return False
        self._last_seconds = now_seconds
        return True

    def hold(self, texts: Sequence[str], step: int) -> None:
        """Remember what was not sent."""
        self._count += len(texts)
        named = [f"{text} (step {step})" for text in texts]
        self._named = [*self._named, *named][:MOST_NAMED]

    def take(self) -> str:
        """Return what was held back since the last time, as a text; empty when nothing was."""
        count, named = self._count, self._named
        self._count, self._named = 0, []
        more = [f"and {count - len(named)} more"] if count > len(named) else []
        return "\n".join([f"Not sent since the last message: {count}", *named, *more]) if count else ""

    def state_dict(self) -> dict[str, Any]:
        """Return when the last message went out, and what was held back since."""
        return {"last_seconds": self._last_seconds, "named": list(self._named), "count": self._count}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from *state*."""
        self._last_seconds = state["last_seconds"]
        self._named, self._count = list(state["named"]), state["count"]
