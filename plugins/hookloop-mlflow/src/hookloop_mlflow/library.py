"""MLflow as a library: imported when a run starts, without its messages, its statistics, or connections left open.

This module is the only one that sets what MLflow reads from the environment, and it puts it back.
"""

from __future__ import annotations

import importlib
import logging
import os
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Unless the user decides otherwise, a training sends nothing about itself to anybody.
SILENT = {"MLFLOW_DISABLE_TELEMETRY": "true"}
# A connection for each call: none is left open at the end of a run, or shared with a process that is forked off.
UNPOOLED = {"MLFLOW_SQLALCHEMYSTORE_POOLCLASS": "NullPool"}
POOL_OPTIONS = ("POOL_SIZE", "MAX_OVERFLOW", "POOL_RECYCLE")
TALKATIVE = ("mlflow.store.db.utils", "alembic", "urllib3.connectionpool")
LASTING = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE", "PERMISSION_DENIED")


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set those of *values* that the user has not set, for a while."""
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep deprecations inside of MLflow, and what it tells about its tables, from the user, who can do nothing.

    For the thread that starts a run, as filters of warnings belong to all threads.
    """
    loggers = [logging.getLogger(name) for name in TALKATIVE[:2]]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        # MLflow configures its loggers when it is imported, so the levels are set after that.
        with environment(SILENT):
            importlib.import_module("mlflow")
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def client_of(uri: str) -> MlflowClient:
    """Return a client of the tracking store at *uri*; for a database this connects to it."""
    from mlflow import MlflowClient

    pooled = any(f"MLFLOW_SQLALCHEMYSTORE_{name}" in os.environ for name in POOL_OPTIONS)
    with environment({} if pooled else UNPOOLED):
        return MlflowClient(tracking_uri=uri)


def lasts(error: Exception) -> bool:
    """Return whether trying again would end in the same *error*."""
    from mlflow.exceptions import MlflowException

    if isinstance(error, MlflowException):
        return error.error_code in LASTING
    return isinstance(error, (ImportError, FileNotFoundError, PermissionError, IsADirectoryError, TypeError))


def is_busy(error: Exception) -> bool:
    """Return whether *error* only says that somebody else is writing."""
    return getattr(error, "error_code", "") == "TEMPORARILY_UNAVAILABLE" or "database is locked" in str(error)


class OtherThreads(logging.Filter):
    """Lets pass what other threads log: our own says once what is wrong, and not each time that it is tried again."""

    def __init__(self) -> None:
        super().__init__()
        self.own = threading.get_ident()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether *record* comes from elsewhere."""
        return record.thread != self.own


@contextmanager
def hushed() -> Iterator[None]:
    """Keep what MLflow and its connections log in this thread from the user."""
    others: Any = OtherThreads()
    loggers = [logging.getLogger(name) for name in TALKATIVE]
    for logger in loggers:
        logger.addFilter(others)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(others)
