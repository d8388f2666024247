"""What a process holds: threads, files, child processes, signal handlers, log handlers, filters of warnings.

Two of these taken before and after a run tell what the run left behind.
"""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

PROC = Path("/proc")
PATIENCE_SECONDS = 1.0

Held = dict[Hashable, str]  # what tells one from the other -> what to call it


def threads() -> Held:
    """Return the threads that are alive."""
    return {thread: thread.name for thread in threading.enumerate()}


def files() -> Held:
    """Return the open file descriptors, sockets and pipes with them; none where there is no ``/proc``."""
    held: Held = {}
    for link in list((PROC / "self" / "fd").glob("*")):
        with suppress(OSError):  # the one that listed the folder is gone
            target = str(link.readlink())
            held[link.name, target] = target
    return held


def processes() -> Held:
    """Return the child processes; where there is no ``/proc``, those of multiprocessing alone."""
    if not (PROC / "self" / "stat").exists():
        return {each.pid: each.name for each in multiprocessing.active_children()}
    children = (child_of_ours(folder) for folder in PROC.glob("[0-9]*"))
    return dict(filter(None, children))


def child_of_ours(folder: Path) -> tuple[int, str] | None:
    """Return the number and the command line of the process with this ``/proc`` folder if it is a child of ours."""
    with suppress(OSError):
        # The name of the program stands in parentheses, and may hold parentheses and spaces itself.
        state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
        if int(parent) == os.getpid():
            command = (folder / "cmdline").read_text().replace("\0", " ").strip()
            ended = "ended, and nobody has waited for it" if state == "Z" else command
            return int(folder.name), f"process {folder.name}: {ended}"
    return None


def signal_handlers() -> Held:
    """Return the handler of each signal."""
    pairs = [(each, signal.getsignal(each)) for each in signal.valid_signals() if isinstance(each, signal.Signals)]
    return {pair: f"{pair[0].name} goes to {pair[1]}" for pair in pairs}


def log_handlers() -> Held:
    """Return the handlers of each logger."""
    return {(logger, handler): f"{handler} of logger '{logger.name}'" for logger, handler in each_handler()}


def each_handler() -> set[tuple[logging.Logger, logging.Handler]]:
    """Return each logger with each of its own handlers."""
    loggers = [logging.getLogger(), *logging.Logger.manager.loggerDict.values()]
    return {(each, handler) for each in loggers if isinstance(each, logging.Logger) for handler in each.handlers}


def warning_filters() -> Held:
    """Return the filters of warnings."""
    return {each: str(each) for each in warnings.filters}


KINDS: Mapping[str, Callable[[], Held]] = {
    "thread": threads,
    "open file": files,
    "child process": processes,
    "signal handler": signal_handlers,
    "log handler": log_handlers,
    "filter of warnings": warning_filters,
}
PASSING = ("thread", "child process")  # these may have been told to end, and be about to
RESTORED = ("log handler", "filter of warnings")  # of these, nothing may be missing afterwards either


def snapshot() -> dict[str, Held]:
    """Return all that this process holds now, by kind."""
    return {kind: held() for kind, held in KINDS.items()}


def differences(before: Mapping[str, Held], after: Mapping[str, Held]) -> list[str]:
    """Return a line for each thing that is in *after* and not in *before*, and for what should still be there."""
    new = [f"{kind}: {text}" for kind in KINDS for text in beyond(before[kind], after[kind])]
    return new + [f"{kind} taken away: {text}" for kind in RESTORED for text in beyond(after[kind], before[kind])]


def beyond(some: Held, more: Held) -> list[str]:
    """Return the names of what is in *more* and not in *some*."""
    return [text for key, text in more.items() if key not in some]


def leftovers(before: Mapping[str, Held], patience_seconds: float = PATIENCE_SECONDS) -> list[str]:
    """Return what is held that was not *before*; threads and processes are given *patience_seconds* to end."""
    gc.collect()
    deadline = time.monotonic() + patience_seconds
    while any(beyond(before[kind], KINDS[kind]()) for kind in PASSING) and time.monotonic() < deadline:
        time.sleep(0.02)
    return differences(before, snapshot())


@contextmanager
def imports_forgiven() -> Iterator[None]:
    """Undo what happens to log handlers and filters of warnings in here.

    A library that sets some while it is imported does so once in a process, and no plugin can help it.
    """
    before = each_handler()
    with warnings.catch_warnings():
        yield
    for logger, handler in each_handler() - before:
        logger.removeHandler(handler)
