"""Addresses of tracking stores: what kind they are, and how they are shown."""

from __future__ import annotations

import re

CREDENTIALS = re.compile(r"://[^/\s@]+@")


def without_password(text: str) -> str:
    """Return *text* with the user and password of each address in it hidden."""
    return CREDENTIALS.sub("://***@", text)


def is_server(uri: str) -> bool:
    """Return whether *uri* is a server of MLflow: to make a client of it is quick, and its first answer may not be."""
    return uri.startswith(("http://", "https://", "databricks"))


def is_database_server(uri: str) -> bool:
    """Return whether *uri* is a database that is not a file: already to make a client of it may take any time."""
    return uri.startswith(("postgresql", "mysql", "mssql"))
