"""Keeps secrets out of what is sent and logged: those of the configuration, and of the environment by their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

HIDDEN = "***"
SHORTEST = 3  # what is shorter is no secret, and would be found in every second word
SHORTEST_OF_ENVIRONMENT = 8

_SECRET_VARIABLE = re.compile(r"(TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|API_?KEY|(ACCESS|PRIVATE|SECRET)_KEY)$")
_SECRET_NAME = re.compile(r"secret|passw|authorization|credential|cookie|key$|token$", re.IGNORECASE)


class Scrubber:
    """Replaces each of its secrets by ``***``, also as a URL or a Python literal has it."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = forms_of(secrets)

    def __call__(self, text: str) -> str:
        """Return *text* without the secrets."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text


def forms_of(secrets: Iterable[str]) -> list[str]:
    """Return *secrets* in each way that they may be written, the longest first, as one may be a part of another."""
    found = {each for each in secrets if len(each) >= SHORTEST and each != HIDDEN}
    written = {form for each in found for form in (each, quote(each, safe=""), quote(each), repr(each)[1:-1])}
    return sorted(written, key=len, reverse=True)


def is_secret_name(name: str) -> bool:
    """Return whether what is called *name*, such as a header, is likely a secret."""
    return bool(_SECRET_NAME.search(name))


def secrets_of_environment(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield what is in the variables whose names say that it is secret: ``HF_TOKEN``, ``WANDB_API_KEY``."""
    for name, value in environ.items():
        if len(value) >= SHORTEST_OF_ENVIRONMENT and _SECRET_VARIABLE.search(name.upper()):
            yield value


def secrets_of_references(settings: Any, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield what each ``{ env = "NAME" }`` in *settings*, a whole configuration, stands for."""
    if isinstance(settings, Mapping):
        if list(settings) == ["env"] and isinstance(settings["env"], str):
            yield environ.get(settings["env"], "")
        else:
            for each in settings.values():
                yield from secrets_of_references(each, environ)
    elif isinstance(settings, (list, tuple)):
        for each in settings:
            yield from secrets_of_references(each, environ)


def secrets_of_table(table: Any, secret: bool = False) -> Iterator[str]:
    """Yield the texts under names that are likely a secret's."""
    if isinstance(table, str) and secret:
        yield table
        yield table.rpartition(" ")[2]  # of "Bearer abc" the second word
    elif isinstance(table, Mapping):
        for name, each in table.items():
            yield from secrets_of_table(each, secret or is_secret_name(str(name)))
    elif isinstance(table, (list, tuple)):
        for each in table:
            yield from secrets_of_table(each, secret)


def secrets_of_url(url: str) -> Iterator[str]:
    """Yield what of *url* gives access: all of it, a password, the path, and those parts that look like tokens."""
    parts = urlsplit(url)
    yield url
    yield unquote(parts.password or "")
    yield from (text for text in (parts.path, unquote(parts.path), parts.query) if len(text) > SHORTEST)
    yield from tokens_of(parts)


def tokens_of(parts: SplitResult) -> list[str]:
    """Return the parts of a path and a query that look like tokens: long, or not short and with a digit."""
    pieces = [*parts.path.split("/"), *(value for _, value in parse_qsl(parts.query))]
    return [each for each in pieces if len(each) >= 16 or (len(each) >= 8 and any(map(str.isdigit, each)))]


def place_of(url: str) -> str:
    """Return what of *url* may be shown: the scheme, the host, and the port."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
