"""Readings of the machine, or of the container that this process runs in: CPU, memory, disk, network, load."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

import psutil

from hookloop_monitor import cgroup
from hookloop_monitor.rates import Rates

LOOPBACK = ("lo", "lo0")


def give_up(part: str, error: Exception) -> NoReturn:
    """Raise *error*: nobody said what else to do."""
    raise error


class HostReader:
    """Reads CPU, RAM, swap, disk, network and load.

    Inside limits of a container, CPU and memory are those of the container, in parts of its limits. A part that cannot
    be read is told to *failed*, and the others are read all the same: a container may hide any of them.
    """

    def __init__(
        self,
        directory: Path,
        *,
        per_core: bool = False,
        limits: cgroup.Limits | None = None,
        failed: Callable[[str, Exception], None] = give_up,
    ) -> None:
        self.directory = directory
        self.per_core = per_core
        self._limits = limits
        self._failed = failed
        self._rates = Rates()

    @property
    def limits(self) -> cgroup.Limits:
        """The limits of the container; they are looked for once."""
        if self._limits is None:
            self._limits = cgroup.find_limits(psutil.virtual_memory().total, os.cpu_count() or 1)
        return self._limits

    def read(self, now: float, *, slow: bool = False) -> dict[str, float]:
        """Return what can be read at *now*, a monotonic time in seconds; rates are those since the last call."""
        values: dict[str, float] = {}
        parts: Mapping[str, Callable[[float], Mapping[str, float]]] = {
            "the CPU": self._cpu,
            "the memory": self._memory,
            "the swap": self._swap,
            "the disk": self._disk_space,
            "the disks' traffic": self._disk_traffic,
            "the network": self._network,
            "the load": self._load,
        }
        for name, part in parts.items():
            try:
                values.update(part(now))
            except Exception as error:
                self._failed(name, error)
        return values

    def close(self) -> None:
        """Nothing is held."""

    def _cpu(self, now: float) -> dict[str, float]:
        values: dict[str, float] = {}
        limits = self.limits
        used = cgroup.cpu_seconds(limits.cpu_group) if limits.cpu_group is not None else None
        if limits.cores is not None and used is not None:
            values["cpu_limit_cores"] = limits.cores
            values.update(self._rates.per("cpu_percent", used, now, 100 / limits.cores))
        else:
            values.update(self._rates.per("cpu_percent", *busy_and_all(psutil.cpu_times()._asdict()), 100))
        if self.per_core:
            for core, times in enumerate(psutil.cpu_times(percpu=True)):
                values.update(self._rates.per(f"cpu{core}_percent", *busy_and_all(times._asdict()), 100))
        return values

    def _memory(self, now: float) -> dict[str, float]:
        memory, limits = psutil.virtual_memory(), self.limits
        total, used, available = memory.total, memory.total - memory.available, memory.available
        own = cgroup.memory_used(limits.memory_group) if limits.memory_group is not None else None
        if limits.memory_bytes is not None and own is not None:
            total, used = limits.memory_bytes, own
            available = min(available, max(0, total - used))
        return {
            "memory_used_bytes": used,
            "memory_available_bytes": available,
            "memory_percent": 100 * used / total,
            "memory_total_bytes": total,
        }

    def _swap(self, now: float) -> dict[str, float]:
        swap = psutil.swap_memory()
        values: dict[str, float] = {"swap_used_bytes": swap.used, "swap_total_bytes": swap.total}
        return {**values, "swap_percent": swap.percent} if swap.total else values

    def _disk_space(self, now: float) -> dict[str, float]:
        usage = psutil.disk_usage(str(self.directory))
        return {
            "disk_used_bytes": usage.used,
            "disk_free_bytes": usage.free,
            "disk_percent": usage.percent,
            "disk_total_bytes": usage.total,
        }

    def _disk_traffic(self, now: float) -> dict[str, float]:
        traffic = psutil.disk_io_counters()
        if traffic is None:  # where the machine shows no disk, as in some containers
            return {}
        return {
            **self._rates.per("disk_read_bytes_per_second", traffic.read_bytes, now),
            **self._rates.per("disk_written_bytes_per_second", traffic.write_bytes, now),
        }

    def _network(self, now: float) -> dict[str, float]:
        cards = [each for name, each in psutil.net_io_counters(pernic=True).items() if name not in LOOPBACK]
        if not cards:
            return {}
        sent, received = sum(each.bytes_sent for each in cards), sum(each.bytes_recv for each in cards)
        return {
            **self._rates.per("network_sent_bytes_per_second", sent, now),
            **self._rates.per("network_received_bytes_per_second", received, now),
        }

    def _load(self, now: float) -> dict[str, float]:
        one, five, fifteen = psutil.getloadavg()
        return {"load_1_minute": one, "load_5_minutes": five, "load_15_minutes": fifteen}


def busy_and_all(times: Mapping[str, float]) -> tuple[float, float]:
    """Return the seconds that CPUs have worked, and all seconds; waiting for a disk is not work."""
    # Linux counts a guest's time twice: as its own, and as the user's.
    whole = sum(times.values()) - times.get("guest", 0.0) - times.get("guest_nice", 0.0)
    return whole - times["idle"] - times.get("iowait", 0.0), whole
