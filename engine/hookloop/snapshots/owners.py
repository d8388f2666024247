"""Hidden directories carry the process that made them in their name, so that nobody removes those of a living one."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

# A pid without leading zeros: the digits at the end of a name such as step-00000120 are none.
PATTERN = re.compile(
    r"\.(?P<purpose>tmp|trash|old)-(?P<name>.+)-(?P<pid>[1-9][0-9]*)-"
    r"[0-9A-Za-z_]+(?:\.(?P<host>[0-9a-f]{8})\.(?P<started>[0-9]+))?"
)


@dataclass(frozen=True)
class Owner:
    """A process: its id, its host, and when it started. The last two are None where a name does not tell them."""

    pid: int
    host: str | None = None
    started_ticks: int | None = None

    def is_gone(self) -> bool:
        """Return whether the process surely runs no more. That of another host may always run."""
        if self.host not in (None, this_host()) or os.name == "nt":
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        # In a container each life of a job may have the same pid; and one that nobody waits for stays as a zombie.
        state, started_ticks = process_facts(self.pid)
        return state == "Z" or (bool(self.started_ticks) and started_ticks not in (0, self.started_ticks))


def hidden_name(purpose: str, name: str) -> str:
    """Return a hidden name for *name* that nobody else uses: ``.PURPOSE-NAME-PID-RANDOM``."""
    _, started_ticks = process_facts(os.getpid())
    return f".{purpose}-{name}-{os.getpid()}-{secrets.token_hex(4)}.{this_host()}.{started_ticks}"


def parse_hidden(name: str) -> tuple[str, str, Owner | None] | None:
    """Return purpose, visible name and owner of a `hidden_name`, or None for any other name.

    What is called trash is that, whoever made it: it needs no owner.
    """
    match = PATTERN.fullmatch(name)
    if match is not None:
        started_ticks = int(match["started"]) if match["started"] else None
        return match["purpose"], match["name"], Owner(int(match["pid"]), match["host"], started_ticks)
    return ("trash", name.removeprefix(".trash-"), None) if name.startswith(".trash-") else None


def this_host() -> str:
    """Return eight digits that tell this host from others."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def process_facts(pid: int) -> tuple[str, int]:
    """Return the state letter of a process and when it started, in clock ticks since boot; "" and 0 if unknown."""
    try:
        # The second field is the name of the program in parentheses, and may hold blanks and parentheses itself.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return fields[0], int(fields[19])
    except (OSError, IndexError, ValueError):
        return "", 0
