"""What a container may use of its machine: the limits of this process's control groups, of version 1 and 2."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

MOUNT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")

Number = TypeVar("Number", int, float)

Folder = tuple[Path, int]  # a control group's, and the version of its files


@dataclass(frozen=True)
class Limits:
    """The tightest limits, and the groups that set them; None where there is none."""

    memory_bytes: int | None = None
    memory_group: Folder | None = None
    cores: float | None = None
    cpu_group: Folder | None = None


def find_limits(host_bytes: int, host_cores: int, mount: Path = MOUNT, membership: Path = MEMBERSHIP) -> Limits:
    """Return the limits that hold for this process; one that the machine cannot reach is none."""
    memory = [(memory_limit(folder), folder) for folder in groups(mount, membership, "memory")]
    cores = [(cpu_limit(folder), folder) for folder in groups(mount, membership, "cpu")]
    return Limits(*tightest(memory, host_bytes), *tightest(cores, host_cores))


def tightest(limits: Iterable[tuple[Number | None, Folder]], host: float) -> tuple[Number, Folder] | tuple[None, None]:
    """Return the lowest limit below *host* with its group; of equal ones the first, which is the innermost group's."""
    real = [(limit, folder) for limit, folder in limits if limit is not None and limit < host]
    return min(real, key=lambda pair: pair[0], default=(None, None))


def groups(mount: Path, membership: Path, controller: str) -> Iterator[Folder]:
    """Yield the folders of the groups that this process is in, the innermost first."""
    for version, path in memberships(membership, controller):
        for top in (mount,) if version == 2 else (mount / controller, mount / f"{controller},{controller}acct"):
            # Inside a container the path is often that outside of it, of which only the top can be seen.
            for folder in (top / path, *(top / path).parents):
                if folder.is_relative_to(top) and folder.is_dir():
                    yield folder, version


def memberships(membership: Path, controller: str) -> Iterator[tuple[int, str]]:
    """Yield version and path of each line of ``/proc/self/cgroup`` that is about *controller*."""
    with suppress(OSError):
        for line in membership.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
            number, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            if number == "0" and not controllers:
                yield 2, path.strip("/")
            elif controller in controllers.split(","):
                yield 1, path.strip("/")


def memory_limit(folder: Folder) -> int | None:
    """Return the group's limit in bytes."""
    path, version = folder
    return first_number(path / ("memory.max" if version == 2 else "memory.limit_in_bytes"))


def cpu_limit(folder: Folder) -> float | None:
    """Return how many cores' time the group may use."""
    path, version = folder
    if version == 2:
        quota, period = [*numbers(path / "cpu.max"), None, None][:2]
    else:
        quota, period = first_number(path / "cpu.cfs_quota_us"), first_number(path / "cpu.cfs_period_us")
    return quota / period if quota and period and quota > 0 else None


def memory_used(folder: Folder) -> int | None:
    """Return the bytes that the group uses, without files of which the kernel may drop its copy at any time."""
    path, version = folder
    used = first_number(path / ("memory.current" if version == 2 else "memory.usage_in_bytes"))
    idle = keyed_number(path / "memory.stat", "inactive_file" if version == 2 else "total_inactive_file")
    return None if used is None else max(0, used - (idle or 0))


def cpu_seconds(folder: Folder) -> float | None:
    """Return the seconds of CPU time that the group has used."""
    path, version = folder
    if version == 2:
        used = keyed_number(path / "cpu.stat", "usage_usec")
        return None if used is None else used / 1e6
    # Where time is counted by a controller of its own, it has the same groups in another place.
    apart = Path(*("cpuacct" if part == "cpu" else part for part in path.parts))
    for group in (path, apart):
        if (used := first_number(group / "cpuacct.usage")) is not None:
            return used / 1e9
    return None


def numbers(path: Path) -> list[int | None]:
    """Return the words of a file as numbers, None for those that are none, such as ``max``."""
    try:
        words = path.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError):
        return []
    return [int(word) if word.lstrip("-").isdecimal() else None for word in words]


def first_number(path: Path) -> int | None:
    """Return the number that a file consists of."""
    return next(iter(numbers(path)), None)


def keyed_number(path: Path, key: str) -> int | None:
    """Return the number after *key* in a file of pairs."""
    with suppress(OSError, UnicodeDecodeError):
        for line in path.read_text(encoding="ascii").splitlines():
            name, _, value = line.partition(" ")
            if name == key and value.isdecimal():
                return int(value)
    return None
