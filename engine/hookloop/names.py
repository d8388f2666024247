"""How plugins are named, and when two names are the same."""

from __future__ import annotations

import re


def canonical(name: str) -> str:
    """Return *name* as names are compared: lower case, with runs of ``-``, ``_`` and ``.`` as one ``-`` (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def kebab(name: str) -> str:
    """Return the name of a class, function or file as the name of a plugin: ``EarlyStopping`` is early-stopping."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name)
    return canonical(words).strip("-")
