"""Which process uses a queue: a lock that ends with the process, however it ends."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def lock(path: Path) -> int | None:
    """Return a descriptor that holds the lock until it is closed, or None when another process holds it.

    A lock of POSIX records: a forked loader worker, which may outlive a killed run for seconds, does not inherit it.
    Raises OSError when the file cannot be made.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        import fcntl
    except ImportError:  # on Windows, where two processes of one run directory are not told apart
        return descriptor
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        os.close(descriptor)
        return None
    except OSError:
        # A file system without locks; one process at a time is the rule there as well.
        return descriptor
    return descriptor


def unlock(descriptor: int) -> None:
    """Give the lock back."""
    with suppress(OSError):
        os.close(descriptor)
