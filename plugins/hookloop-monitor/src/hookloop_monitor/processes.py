"""Readings of this process and of those that it started: the workers of its loaders, above all."""

from __future__ import annotations

import os

import psutil

from hookloop_monitor.rates import Rates

# Looking for children means looking at every process of the machine.
LOOK_SECONDS = 10.0
HURRIED_LOOK_SECONDS = 1.0


class ProcessReader:
    """Reads memory and CPU of this process. 100 percent is one core."""

    def __init__(self) -> None:
        self._process: psutil.Process | None = None
        self._rates = Rates()

    def read(self, now: float, *, slow: bool = False) -> dict[str, float]:
        """Return what can be read at *now*, a monotonic time in seconds."""
        self._process = process = self._process or psutil.Process()
        with process.oneshot():
            times, memory = process.cpu_times(), process.memory_info()
            values: dict[str, float] = {"process/rss_bytes": memory.rss, "process/threads": process.num_threads()}
        return values | self._rates.per("process/cpu_percent", times.user + times.system, now, 100)

    def close(self) -> None:
        """Nothing is held."""


class WorkerReader:
    """Reads memory and CPU of the descendants of this process, summed up. 100 percent is one core.

    They are looked for every ten seconds; sooner when one has ended, or after `look_again`.
    """

    def __init__(self) -> None:
        self._children: dict[int, psutil.Process] = {}
        self._looked_at = float("-inf")
        self._hurry = False
        self._rates = Rates()
        self._spent: dict[int, float] = {}  # by worker, in seconds
        self._spent_by_all = 0.0

    def read(self, now: float, *, slow: bool = False) -> dict[str, float]:
        """Return what can be read at *now*, a monotonic time in seconds; nothing where there are no workers."""
        self._look(now)
        alive, rss, spent = 0, 0, 0.0
        for pid, child in list(self._children.items()):
            try:
                with child.oneshot():
                    if child.status() == psutil.STATUS_ZOMBIE:
                        raise psutil.NoSuchProcess(pid)
                    times, memory = child.cpu_times(), child.memory_info()
            except psutil.Error:
                self._children.pop(pid)
                self._hurry = True
                continue
            alive, rss = alive + 1, rss + memory.rss
            # Time that a worker spent before it was first seen would count as spent since the last sample.
            total = times.user + times.system
            spent += total - self._spent.get(pid, total)
            self._spent[pid] = total
        for pid in self._spent.keys() - self._children.keys():
            del self._spent[pid]
        if not alive:
            self._rates.forget("workers/cpu_percent")
            return {}
        self._spent_by_all += spent
        cpu = self._rates.per("workers/cpu_percent", self._spent_by_all, now, 100)
        return {"workers/count": alive, "workers/rss_bytes": rss, **cpu}

    def close(self) -> None:
        """Nothing is held."""

    def look_again(self) -> None:
        """Have the next readings look for new children: an epoch may start workers."""
        self._hurry = True

    def pids(self) -> set[int]:
        """Return the numbers of this process and of those that it started."""
        return {os.getpid(), *self._children}

    def _look(self, now: float) -> None:
        if now - self._looked_at < (HURRIED_LOOK_SECONDS if self._hurry else LOOK_SECONDS):
            return
        self._looked_at, self._hurry = now, False
        found = {each.pid: each for each in psutil.Process().children(recursive=True)}
        # The objects known already are kept, which saves reading when each was started.
        self._children = {pid: self._children.get(pid, each) for pid, each in found.items()}
