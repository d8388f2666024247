"""Secrets: `{ env = "NAME" }` in a table stands for an environment variable, and nothing secret is shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hookloop.config.keys import Key, Location, dotted
from hookloop.config.tree import ConfigTree, Origin, Table, where
from hookloop.errors import Problem, suggest

HIDDEN = "***"

_SECRET_NAME = re.compile(
    r"secret|passw|authorization|passphrase|credential|api_?key|access_?key|private_?key|auth_?token|(?:^|_)(?:key|tokens?|pwd)$"
)
# Names of a tokenizer's own vocabulary, which end like a secret's name.
_VOCABULARY = re.compile(r"(?:bos|eos|pad|unk|sep|cls|mask|special|additional_special)_tokens?$")


def is_reference(value: object) -> bool:
    """Whether *value* is a table with exactly the key ``env``, and in it a name."""
    return isinstance(value, Mapping) and list(value) == ["env"] and isinstance(value["env"], str)


def is_secret_name(name: str) -> bool:
    """Whether a value under the key *name* is likely a secret: ``api_key``, ``dbPassword``, ``HF-TOKEN``."""
    folded = re.sub(r"(?<=[a-z])(?=[A-Z])|[-. ]", "_", name).lower()
    return bool(_SECRET_NAME.search(folded)) and not _VOCABULARY.search(folded)


def resolve_secrets(
    table: Mapping[str, Any],
    environ: Mapping[str, str],
    tree_or_origin: ConfigTree | Origin | None = None,
    prefix: Key = (),
) -> tuple[Table, list[Problem]]:
    """Return *table* with each reference replaced by its variable's text, and a problem for each missing variable.

    *table* itself is never a reference, whatever its keys. A missing variable leaves an empty text, so that the other
    options can still be checked. *tree_or_origin* and *prefix*, the table's own path, say where problems stand.
    """
    problems: list[Problem] = []

    def resolved(value: Any, path: Location) -> Any:
        if is_reference(value):
            return variable(value["env"], path)
        if isinstance(value, Mapping):
            return {key: resolved(inner, (*path, key)) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [resolved(inner, (*path, index)) for index, inner in enumerate(value)]
        return value

    def variable(name: str, path: Location) -> str:
        if name not in environ:
            message = f"the environment variable '{name}' is not set.{suggest(name, environ)} Set it before the run."
            problems.append(Problem(where(tree_or_origin, path), dotted(path), message))
        return environ.get(name, "")

    return {key: resolved(value, (*prefix, key)) for key, value in table.items()}, problems


def redact(table: Mapping[str, Any]) -> Table:
    """Return *table* for display: references as they are, ``***`` for text under a name that looks like a secret's."""
    return {key: _redacted(value, hides(key, value)) for key, value in table.items()}


def hides(name: str, value: object) -> bool:
    """Whether *value* under the key *name* is likely a secret.

    One text under ``tokens`` is what counts them, such as ``"data.py:count"``; secrets are a list there.
    """
    return is_secret_name(name) and not (name.lower().endswith("tokens") and isinstance(value, str))


def redact_declared(value: Any, validated: Any) -> Any:
    """Return *value* with ``***`` where *validated*, which options have become of it, holds a secret of pydantic's."""
    if is_reference(value):
        return value
    if hasattr(validated, "get_secret_value"):
        return HIDDEN
    if isinstance(value, Mapping):
        inner = (
            validated if isinstance(validated, Mapping) else vars(validated) if hasattr(validated, "__dict__") else {}
        )
        return {key: redact_declared(each, inner.get(key)) for key, each in value.items()}
    if isinstance(value, list | tuple) and isinstance(validated, list | tuple) and len(value) == len(validated):
        return [redact_declared(each, other) for each, other in zip(value, validated, strict=True)]
    return value


def _redacted(value: Any, secret: bool) -> Any:
    if is_reference(value):
        return value
    if isinstance(value, Mapping):
        return {key: _redacted(inner, secret or hides(key, inner)) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(inner, secret) for inner in value]
    return HIDDEN if secret and isinstance(value, str) else value
