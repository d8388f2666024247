"""Texts, images, figures and files on their way: each a folder in the run directory, until it was sent.

What is logged is on disk at once, and a kill loses nothing of it. Files are linked rather than copied where the file
system can, so a large one costs nothing, and may be deleted by who logged it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

NOTE = "item.json"  # written last: a folder without it was cut off
CONTENT = "content"


@dataclass(frozen=True)
class Item:
    """Something to send: ``to`` is its path among the artifacts, or for an image its key."""

    kind: Literal["artifact", "image"]
    to: str
    step: int
    timestamp_ms: int


class Spool:
    """A folder of items. One thread puts them in, another takes them out."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.count = max((int(path.name) for path in self.folders()), default=0)

    def folders(self) -> list[Path]:
        """Return the folders of the items, oldest first."""
        if not self.directory.is_dir():
            return []
        return sorted(path for path in self.directory.iterdir() if path.name.isdecimal())

    def waiting(self) -> Iterator[tuple[Path, Item]]:
        """Yield the folder of each item that waits, and what it is; what was cut off is removed."""
        for folder in self.folders():
            if (folder / NOTE).exists():
                yield folder, Item(**json.loads((folder / NOTE).read_text(encoding="utf-8")))
            elif int(folder.name) <= self.count:
                shutil.rmtree(folder, ignore_errors=True)

    def put(self, item: Item, content: bytes | Path) -> None:
        """Add *item* with its *content*, a file or a directory or bytes."""
        folder = self.directory / f"{self.count + 1:08}"
        folder.mkdir(parents=True)
        place = folder / CONTENT / Path(item.to).name
        place.parent.mkdir()
        if isinstance(content, bytes):
            place.write_bytes(content)
        elif content.is_dir():
            shutil.copytree(content, place, copy_function=link_or_copy)
        else:
            link_or_copy(str(content), str(place))
        fresh = folder / f".{NOTE}"
        fresh.write_text(json.dumps(asdict(item)), encoding="utf-8")
        fresh.replace(folder / NOTE)
        self.count += 1

    def remove(self, folder: Path) -> None:
        """Remove an item that was sent."""
        (folder / NOTE).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)

    def discard(self, last: int) -> None:
        """Remove the items up to number *last*, which belong to a run that was replaced."""
        for folder in self.folders():
            if int(folder.name) <= last:
                self.remove(folder)

    def close(self) -> None:
        """Remove the folder when nothing waits in it."""
        if self.directory.is_dir() and not any(self.directory.iterdir()):
            self.directory.rmdir()


def content_of(folder: Path, item: Item) -> Path:
    """Return where the content of the item in *folder* is."""
    return folder / CONTENT / Path(item.to).name


def link_or_copy(source: str, target: str) -> str:
    """Make *target* the same file as *source*, or a copy of it on another file system."""
    real = os.path.realpath(source)
    try:
        os.link(real, target)
    except OSError:
        shutil.copyfile(real, target)
    return target
