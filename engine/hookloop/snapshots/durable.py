"""Making, renaming and removing directories so that what was done survives a loss of power."""

from __future__ import annotations

import errno
import logging
import os
import shutil
from itertools import count
from pathlib import Path

from hookloop.snapshots.owners import hidden_name

log = logging.getLogger("hookloop")


def fsync_directory(directory: Path) -> None:
    """Make the names in *directory* durable. Raises OSError."""
    if os.name == "nt":
        return  # has no such call: names are durable there when they are made
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network and user-space file systems know no fsync of a directory.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def make_directory(directory: Path, *, within: Path) -> None:
    """Make *directory* and its parents durably, below *within*, which has to exist. Raises OSError.

    A run directory that is gone, as after an unmount, is not made anew: its files would come to lie on another disk.
    """
    if not within.is_dir():
        raise FileNotFoundError(errno.ENOENT, f"the run directory {within} is gone")
    missing = [each for each in (directory, *directory.parents) if each.is_relative_to(within) and not each.exists()]
    for each in reversed(missing):
        os.makedirs(each, exist_ok=True)  # noqa: PTH103 - beside a thread that makes it too
        fsync_directory(each.parent)


def rename(source: Path, target: Path) -> None:
    """Rename *source* to *target* in the same directory, durably. Raises OSError."""
    os.rename(source, target)  # noqa: PTH104 - in one line with the other calls of os that make up a publication
    fsync_directory(target.parent)


def put_aside(path: Path, prefix: str) -> Path:
    """Rename *path* durably to the hidden ``.PREFIX-NAME`` beside it and return that; numbered when it is taken.

    Raises OSError.
    """
    for number in count():
        suffix = f"-{number}" if number else ""
        target = path.with_name(f".{prefix.strip('.-')}-{path.name}{suffix}")
        if not os.path.lexists(target):
            break
    rename(path, target)
    return target


def remove(path: Path) -> None:
    """Remove a snapshot: first its name, durably, then its files, so that a kill leaves no half of it in sight.

    Raises OSError when it cannot be renamed. Files that cannot be removed are left to `clean`, with a warning.
    """
    trash = path.with_name(hidden_name("trash", path.name))
    rename(path, trash)
    erase(trash)


def erase(path: Path) -> None:
    """Remove what is in no one's sight, as well as it goes."""
    try:
        if path.is_symlink() or path.is_file():
            path.unlink()
        else:
            shutil.rmtree(path)
    except FileNotFoundError:
        pass  # somebody else removes it at the same time
    except OSError as error:
        log.warning("%s cannot be removed: %s", path, error)
