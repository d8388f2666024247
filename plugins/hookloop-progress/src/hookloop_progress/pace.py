"""How fast something goes and when it will be done, computed from counts and a clock that the caller reads."""

from __future__ import annotations

from collections import deque

WINDOW_SECONDS = 10.0

# A count, the clock when it was reached, and how much of that the work had paused until then.
Mark = tuple[int, float, float]


class Pace:
    """The pace of things that are counted.

    The first thing is left out of every figure: it pays for what happens only once, such as compiling and starting
    workers. Until the second is complete, nothing is known.
    """

    __slots__ = ("_first", "_newest", "_paused_at", "_paused_seconds", "_recent")

    def __init__(self) -> None:
        self._first: Mark | None = None
        self._newest: Mark | None = None
        self._paused_at: float | None = None
        self._paused_seconds = 0.0
        self._recent: deque[Mark] = deque()

    def mark(self, count: int, now: float) -> None:
        """Note that *count* things are complete at *now*, in seconds; nothing where as many are known of.

        Called every step, or at times of its own by a thread that draws, so it computes nothing.
        """
        before = self._newest
        if before is not None and count <= before[0]:
            return
        newest = (count, now, self._paused_seconds)
        if self._first is None:
            self._first = newest
            self._recent.append(newest)
        self._newest = newest

    @property
    def begun(self) -> bool:
        """Whether the first thing is complete."""
        return self._first is not None

    def pause(self, now: float) -> None:
        """Stop counting time towards the rate, for a validation between two steps."""
        self._paused_at = now

    def resume(self, now: float) -> None:
        """Count time again; the newest thing counts as complete now, with the pause in its time and not in its work."""
        if self._paused_at is None:
            return
        pause = now - self._paused_at
        self._paused_at = None
        self._paused_seconds += pause
        if self._newest is not None:
            count, marked, paused = self._newest
            self._newest = (count, marked + pause, paused + pause)

    def per_second(self) -> float | None:
        """Return the rate over about the last ten seconds without pauses, or None when it is not known."""
        newest, recent = self._newest, self._recent
        if newest is None:
            return None
        if recent[-1] is not newest:
            recent.append(newest)
        while len(recent) > 2 and work_seconds(recent[1], newest) >= WINDOW_SECONDS:
            recent.popleft()
        return divide(newest[0] - recent[0][0], work_seconds(recent[0], newest))

    def overall_per_second(self) -> float | None:
        """Return the rate over everything but the first, without pauses, or None when it is not known."""
        if self._first is None or self._newest is None:
            return None
        return divide(self._newest[0] - self._first[0], work_seconds(self._first, self._newest))

    def seconds_left(self, left: int, now: float) -> float | None:
        """Return how long *left* more things will take at the average so far, or None when it is not known.

        Pauses are in the average, as there will be more of them; what has passed since the last thing is taken off.
        """
        if self._first is None or self._newest is None or self._newest[0] == self._first[0]:
            return None
        seconds_each = (self._newest[1] - self._first[1]) / (self._newest[0] - self._first[0])
        return max(0.0, left * seconds_each - (now - self._newest[1]))


def work_seconds(earlier: Mark, later: Mark) -> float:
    """Return the time between two marks without the pauses between them."""
    return (later[1] - later[2]) - (earlier[1] - earlier[2])


def divide(count: int, seconds: float) -> float | None:
    """Return the rate, or None where there is none."""
    return count / seconds if count > 0 and seconds > 0 else None
