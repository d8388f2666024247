"""How trackio is started: in the right directory, on this machine, and without a word on the standard output."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hookloop import ConfigError

if TYPE_CHECKING:
    from types import ModuleType

    from hookloop import Run
    from hookloop_trackio.plugin import Trackio

log = logging.getLogger("hookloop.trackio")

ELSEWHERE = ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL")


def library(directory: Path | None) -> ModuleType:
    """Import trackio, to keep its data in *directory*; raises ConfigError when it keeps them elsewhere already.

    trackio reads the environment once, when it is imported.
    """
    for name in ELSEWHERE:
        if os.environ.get(name):
            raise ConfigError(
                f"{name} is set, and this plugin logs to this machine alone, where a resumed run can go back. Unset "
                "it, and send what was logged with 'trackio sync'."
            )
    if directory is None:
        import trackio

        return trackio
    wanted = directory.expanduser().resolve()
    if "trackio" not in sys.modules:
        with environment("TRACKIO_DIR", str(wanted)):
            import trackio
    else:
        import trackio
    used = Path(vars(trackio)["TRACKIO_DIR"]).resolve()
    if used != wanted:
        raise ConfigError(
            f"directory = '{directory}': trackio was imported before in this process, and keeps its data in {used}. "
            f"Start another process, or set TRACKIO_DIR={wanted} for this one."
        )
    return trackio


@contextlib.contextmanager
def environment(name: str, value: str) -> Iterator[None]:
    """Set a variable of the environment for a while."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


@functools.cache
def run_class() -> Any:
    """Return trackio's class of runs, without a request to Hugging Face, and which says that it fails once, in the log.

    ``trackio.init`` is not used: it ends the run that this process has open, and takes the newest run of a name for the
    one to resume.
    """
    from trackio.run import Run

    class LocalRun(Run):  # type: ignore[misc, unused-ignore]
        def _get_username(self) -> None:
            return None

        def _warn_once(self, key: str, message: str) -> None:
            if "said" not in vars(self):
                vars(self)["said"] = message
                log.warning("trackio: %s Training goes on.", message)

    return LocalRun


def begin(config: Trackio.Config, run: Run, run_id: str) -> tuple[Any, Path]:
    """Return an open run of trackio, and where its project's database is; raises ConfigError for a wrong name."""
    from trackio.sqlite_storage import SQLiteStorage

    project = config.project or run.config.name
    try:
        SQLiteStorage.validate_project_name(project)
    except ValueError as error:
        raise ConfigError(f"project: {error}") from None
    opened = run_class()(
        url=None,
        project=project,
        client=None,
        name=config.name or run.directory.resolve().name,
        run_id=run_id,
        group=config.group,
        config=json.loads(json.dumps(run.settings, default=str)),
    )
    database = SQLiteStorage.get_project_db_path(project)
    if getattr(opened, "_storage_mode", "sqlite") != "sqlite":
        log.warning(
            "trackio: %s is on a network, where trackio writes no database: a resumed run cannot take back rows there, "
            "and they may be there twice. Set 'directory' to one on this machine.",
            database.parent,
        )
    return opened, database


def quiet() -> contextlib.AbstractContextManager[Any]:
    """Return a context in which nothing is printed on the standard output."""
    return contextlib.redirect_stdout(io.StringIO())
