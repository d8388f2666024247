"""Names that MLflow accepts: those that it refuses are changed, the same way each time and never two to one."""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
from functools import lru_cache
from pathlib import PurePosixPath

LONGEST = 250
REFUSED_IN_KEYS = re.compile(r"[^/\w.\- ]" if os.name == "nt" else r"[^/\w.\- :]")
REFUSED_IN_PATHS = re.compile(r"[^/a-zA-Z0-9_.\- ]")


@lru_cache(maxsize=10_000)
def key_name(name: str) -> str:
    """Return *name* as the key of a metric, a parameter or a tag."""
    return name if is_accepted(name, REFUSED_IN_KEYS) else f"{likeness(name, REFUSED_IN_KEYS)}-{mark(name)}"


def path_name(name: str) -> str:
    """Return *name* as the path of an artifact, with its suffix, or as the key of an image."""
    if is_accepted(name, REFUSED_IN_PATHS):
        return name
    suffix = REFUSED_IN_PATHS.sub("_", PurePosixPath(name).suffix)[:20]
    alike = likeness(name, REFUSED_IN_PATHS)
    return f"{alike.removesuffix(suffix) if suffix else alike}-{mark(name)}{suffix}"


def is_accepted(name: str, refused: re.Pattern[str]) -> bool:
    """Return whether *name* has no *refused* character, is not too long, and names no other place as a path."""
    if not 0 < len(name) <= LONGEST or refused.search(name):
        return False
    return posixpath.normpath(name) == name and not name.startswith(("..", "/")) and name != "."


def likeness(name: str, refused: re.Pattern[str]) -> str:
    """Return something accepted that looks like *name*, to which a mark is added as others may look the same."""
    parts = [part for part in refused.sub("_", name).split("/") if part.strip(".")]
    alike = "/".join(parts)[: LONGEST - 10].rstrip("/")
    return f"_{alike}" if alike.startswith("..") or not alike else alike


def mark(name: str) -> str:
    """Return eight characters that tell *name* from others."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
