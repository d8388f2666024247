"""The database that runs without a server share: a file of SQLite, made whole or not at all."""

from __future__ import annotations

import errno
import os
import uuid
from pathlib import Path

from hookloop_mlflow.library import client_of

PREFIX = "sqlite:///"


def default_uri(directory: Path, runs_dir: Path) -> str:
    """Return the database for the run in *directory*: that of *runs_dir*, or the one beside a run that is elsewhere."""
    directory, runs_dir = directory.absolute(), runs_dir.absolute()
    place = runs_dir if directory.is_relative_to(runs_dir) else directory.parent
    return f"{PREFIX}{(place / 'mlflow.db').as_posix()}"


def absolute(uri: str) -> str:
    """Return *uri*, a relative path in it made absolute, so that it means the same after a change of directory."""
    path = file_of(uri)
    return uri if path is None else f"{PREFIX}{path.absolute().as_posix()}"


def file_of(uri: str) -> Path | None:
    """Return the file that *uri* names if it is one of SQLite, else None."""
    return Path(uri.removeprefix(PREFIX)) if uri.startswith(PREFIX) and len(uri) > len(PREFIX) else None


def create(path: Path) -> None:
    """Make the database *path* if it is not there.

    MLflow makes its tables in some dozen steps, which takes a second. Two runs that start together would both do it, in
    one file, and a kill would leave half of them, for good. So they are made in a file of this process, which then gets
    the name if nobody else's has it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        return
    fresh = path.with_name(f".{path.name}-{uuid.uuid4().hex[:12]}")
    try:
        client_of(f"{PREFIX}{fresh.as_posix()}")
        claim(fresh, path)
    finally:
        for left in path.parent.glob(f"{fresh.name}*"):
            left.unlink()


def claim(fresh: Path, path: Path) -> None:
    """Name the file *fresh* *path* unless there is such a file."""
    try:
        os.link(fresh, path)
    except FileExistsError:
        return
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            raise
        if not path.exists():  # a file system without links
            fresh.rename(path)
