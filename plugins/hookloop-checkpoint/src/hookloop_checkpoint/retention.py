"""Which snapshots of one instance are no longer needed."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass

from hookloop import snapshots


@dataclass(frozen=True, order=True)
class Kept:
    """A durable snapshot of this instance; the newer of two is the greater."""

    attempt: int
    step: int
    epoch: int
    saved_at: str
    name: str
    kind: snapshots.Kind

    @classmethod
    def of(cls, snapshot: snapshots.Snapshot) -> Kept:
        """Return what retention needs to know of *snapshot*."""
        counted = (snapshot.attempt, snapshot.step, snapshot.epoch, snapshot.saved_at)
        return cls(*counted, name=snapshot.path.name, kind=snapshot.kind)


def surplus(kept: Iterable[Kept], keep_last: int | None, protected: Container[str] = ()) -> list[str]:
    """Return the names of those in *kept* that may go, the oldest first.

    The newest *keep_last* of each kind stay, of those that show a failure the newest alone, and whatever is
    *protected*. None keeps all.
    """
    if keep_last is None:
        return []
    newest_first = sorted(kept, reverse=True)
    stay: set[str] = set()
    for kind, count in (("resumable", keep_last), ("weights", keep_last), ("exception", 1)):
        stay.update([each.name for each in newest_first if each.kind == kind][:count])
    return [each.name for each in reversed(newest_first) if each.name not in stay and each.name not in protected]
