"""Where rows go: a URL taken apart, and what may be said of it in a message."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote, urljoin, urlsplit

PORTS = {"http": 80, "https": 443}
Scheme = Literal["http", "https"]


@dataclass(frozen=True)
class Endpoint:
    """A URL in its parts. ``authorization`` is made of the user and the password in it, and shown nowhere."""

    scheme: str
    host: str
    port: int
    path: str
    authorization: str = ""

    @property
    def label(self) -> str:
        """The URL for a message: without user, password and query, any of which may be a secret."""
        return f"{self.scheme}://{self.authority}{self.path.partition('?')[0]}"

    @property
    def authority(self) -> str:
        """The value of the header ``Host``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> tuple[str, str, int]:
        """What a connection is made to."""
        return self.scheme, self.host, self.port

    def __repr__(self) -> str:
        return f"Endpoint({self.label})"


def parse_url(url: str) -> Endpoint:
    """Return the parts of *url*. Raises ValueError, whose message does not repeat the URL, for one that is none."""
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("a URL is ASCII without blanks: write other characters as %XX")
    parts = urlsplit(url)
    if parts.scheme not in PORTS or not parts.hostname:
        raise ValueError("must be a URL such as https://example.org/metrics: http or https, and a host")
    try:
        port = PORTS[parts.scheme] if parts.port is None else parts.port
    except ValueError:
        raise ValueError("the port of the URL must be a number from 0 to 65535") from None
    authorization = ""
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(pair.encode()).decode()
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Endpoint(parts.scheme, parts.hostname, port, path, authorization)


def redirected(endpoint: Endpoint, location: str) -> Endpoint | str:
    """Return where *location* leads from *endpoint*, or why it is not gone to.

    A row and its headers go to the host that the configuration names and to no other, and never from TLS to none.
    """
    base = f"{endpoint.scheme}://{endpoint.authority}{endpoint.path}"
    try:
        target = parse_url(urljoin(base, location))
    except ValueError:
        return "it redirects to what is no URL"
    if target.host != endpoint.host:
        return f"it redirects to another host, {target.host}; set 'url' to that if it is right"
    if endpoint.scheme == "https" and target.scheme != "https":
        return "it redirects from https to http"
    return Endpoint(*target.origin, target.path, endpoint.authorization)
