"""What goes wrong in a deferred hook, which may be called where nobody would hear of it, raised where somebody does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hookloop.blame import blame, culprit
from hookloop.calling import Supervisor, Timing, raise_all


class Postponed:
    """Stands before a *supervisor* for hooks that are called on other threads too: it keeps what they raise."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        self.failures: list[tuple[Timing, BaseException, tuple[Any, ...]]] = []

    def timing(self, plugin: str, hook: str) -> Timing | None:
        """Return where to add up the time."""
        return self.supervisor.timing(plugin, hook)

    def failed(self, timing: Timing, error: BaseException, arguments: tuple[Any, ...]) -> None:
        """Keep *error*, for `settle`."""
        self.failures.append((timing, error, arguments))

    def settle(self, hook: str, errors: Sequence[BaseException] = ()) -> None:
        """Raise *errors*, and what the supervisor raises of what was kept: one as it is, several as a group.

        The group is the first plugin's fault, and never of one that happens to be called when it is raised.
        """
        raised = [*errors, *self._judged()]
        try:
            raise_all(hook, raised)
        except BaseExceptionGroup as group:
            verdict = next(filter(None, map(culprit, raised)), None)
            if verdict is not None:
                blame(group, verdict)
            raise

    def _judged(self) -> list[BaseException]:
        """Hand on what was kept, the oldest first; return what the supervisor raised of it."""
        raised: list[BaseException] = []
        while self.failures:
            try:
                self.supervisor.failed(*self.failures.pop(0))
            except BaseException as error:
                raised.append(error)
        return raised
