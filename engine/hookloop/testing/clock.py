"""A clock for tests that are about time and must not wait for it."""

from __future__ import annotations


class FakeClock:
    """Seconds that pass only by `advance`; give it to ``Engine(clock=...)``. It starts at zero."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        """Return the time, in seconds."""
        return self.seconds

    def advance(self, seconds: float) -> None:
        """Let *seconds* pass; ValueError for less than none, as the clock that it stands for never goes back."""
        if seconds < 0:
            raise ValueError(f"a clock goes forward only, and this is {seconds} seconds")
        self.seconds += seconds
