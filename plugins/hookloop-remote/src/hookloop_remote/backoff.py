"""What an answer means for a row, and how long to wait before the next try."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Literal

from hookloop_remote.answer import Answer

Verdict = Literal["taken", "broken", "refused", "later"]

LATER = frozenset((408, 425, 429))
RETRY_AFTER_SECONDS = 60.0  # however long a server says


def judge(answer: Answer) -> Verdict:
    """Return what *answer* means: a row is refused by a client error; what else is no success may pass."""
    if 200 <= answer.status < 300:
        return "taken" if answer.whole else "broken"
    return "refused" if 400 <= answer.status < 500 and answer.status not in LATER else "later"


def retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds that the server asks to wait, within bounds; 0 when it asks for none."""
    text = headers.get("retry-after", "")
    try:
        if text.isascii() and text.isdecimal():
            seconds = float(text[:9])
        else:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError, OSError):
        return 0.0
    return min(max(0.0, seconds), RETRY_AFTER_SECONDS)


@dataclass(frozen=True)
class Backoff:
    """Waits that double from *first_seconds*; after *retries* of them the longest, *max_seconds*, each time."""

    retries: int
    first_seconds: float
    max_seconds: float
    # A stream of its own: the global one belongs to the training, whose numbers must not change.
    _random: random.Random = field(default_factory=random.Random, repr=False)

    def seconds(self, failures: int) -> float:
        """Return how long to wait after that many failures in a row, give or take a quarter."""
        doubled = self.first_seconds * 2 ** min(failures - 1, 60)
        longest = self.max_seconds if failures > self.retries else min(doubled, self.max_seconds)
        return longest * self._random.uniform(0.75, 1.25)
