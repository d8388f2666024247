"""Checks of single options, and what is made of them all."""

from __future__ import annotations

import re
import ssl
from typing import TYPE_CHECKING

from pydantic import SecretStr

from hookloop import ConfigError
from hookloop_remote.backoff import Backoff
from hookloop_remote.endpoint import parse_url
from hookloop_remote.poster import Poster
from hookloop_remote.route import ProxyError, find_route
from hookloop_remote.rows import Wire

if TYPE_CHECKING:
    from hookloop_remote.plugin import Remote

OWN_HEADERS = frozenset(("host", "content-length", "transfer-encoding", "connection", "expect", "idempotency-key"))
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def check_url(url: str) -> str:
    """Return *url* if something can be posted to it."""
    parse_url(url)
    return url


def check_value(value: SecretStr) -> SecretStr:
    """Return *value* if it can be that of a header; the message does not show it."""
    text = value.get_secret_value()
    if not all(each == "\t" or (" " <= each <= "\xff" and each != "\x7f") for each in text):
        raise ValueError("the value of a header is one line of Latin-1 characters")
    return value


def check_headers(headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
    """Return *headers* if a request can have them."""
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"{name!r} cannot be the name of a header")
        if name.lower() in OWN_HEADERS:
            raise ValueError(f"the header {name} is the plugin's own")
        check_value(value)
    return headers


def make_poster(config: Remote.Config) -> Poster:
    """Return what posts as *config* says.

    Raises ConfigError for certificates that cannot be read, and for a proxy of the environment that is none.
    """
    try:
        route = find_route(parse_url(config.url))
    except ProxyError as error:
        raise ConfigError(f"remote: {error}") from None
    context = None
    if route.server.scheme == "https" or config.ca_file is not None:
        try:
            context = ssl.create_default_context(cafile=config.ca_file)
        except OSError as error:
            raise ConfigError(f"remote: ca_file = '{config.ca_file}' cannot be read: {error}") from None
    headers = {"User-Agent": "hookloop-remote"}
    if config.bearer_token is not None:
        headers["Authorization"] = f"Bearer {config.bearer_token.get_secret_value()}"
    headers |= {name: value.get_secret_value() for name, value in config.headers.items()}
    return Poster(route, headers, timeout_seconds=config.timeout_seconds, context=context)


def make_wire(config: Remote.Config) -> Wire:
    """Return how rows are written."""
    return Wire(config.format, config.field, config.layout)


def make_backoff(config: Remote.Config) -> Backoff:
    """Return how long to wait after failures."""
    return Backoff(config.retries, config.backoff_seconds, max(config.backoff_seconds, config.max_backoff_seconds))
