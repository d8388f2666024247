"""Which file of a snapshot holds which key of the state."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from hookloop.snapshots.manifest import MANIFEST

# Small ones that one file holds together: each file is one more wait for the disk.
TOGETHER = ("format", "counters", "fingerprint", "metrics", "log")
SHARED_FILE = "run.pt"

Parts = dict[str, str | list[str]]


def assign_files(state: Mapping[str, Any]) -> Parts:
    """Return for each key of *state* the file that is to hold it; for the list of optimizers one file each."""
    taken = {SHARED_FILE, MANIFEST.lower()}
    parts: Parts = {}
    for key, value in state.items():
        if key in TOGETHER:
            parts[key] = SHARED_FILE
        elif key == "optimizers" and isinstance(value, list):
            parts[key] = [free_name(f"optimizer-{number}", taken) for number in range(len(value))]
        else:
            parts[key] = free_name(safe_name(key), taken)
    return parts


def safe_name(text: str) -> str:
    """Return *text* as a name that any file system takes."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", text).lstrip(".")[:100] or "_"


def free_name(stem: str, taken: set[str]) -> str:
    """Return ``STEM.pt``, numbered when it is *taken*, and add it there: some file systems know no upper case."""
    name = f"{stem}.pt"
    number = 0
    while name.lower() in taken:
        number += 1
        name = f"{stem}_{number}.pt"
    taken.add(name.lower())
    return name


def split(state: Mapping[str, Any], parts: Parts) -> Iterator[tuple[str, Any]]:
    """Yield name and content of each file."""
    together = {key: state[key] for key, files in parts.items() if files == SHARED_FILE}
    if together:
        yield SHARED_FILE, together
    for key, files in parts.items():
        if isinstance(files, list):
            yield from zip(files, state[key], strict=True)
        elif files != SHARED_FILE:
            yield files, state[key]


def files_of(parts: Mapping[str, str | Sequence[str]], keys: Sequence[str]) -> list[str]:
    """Return the files that hold *keys*, each once."""
    named = [[parts[key]] if isinstance(parts[key], str) else parts[key] for key in keys]
    return list(dict.fromkeys(str(file) for files in named for file in files))


def join(parts: Mapping[str, str | Sequence[str]], keys: Sequence[str], load: Callable[[str], Any]) -> dict[str, Any]:
    """Return the state with *keys*, put together from the files, each of which *load* reads once."""
    contents = {file: load(file) for file in files_of(parts, keys)}
    state: dict[str, Any] = {}
    for key in keys:
        files = parts[key]
        if not isinstance(files, str):
            state[key] = [contents[file] for file in files]
        else:
            state[key] = contents[files][key] if files == SHARED_FILE else contents[files]
    return state
