"""The way to a server: straight, or through the proxy that the environment names, as for any other program."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.request import getproxies, proxy_bypass

from hookloop_remote.endpoint import Endpoint, parse_url


class ProxyError(OSError):
    """What the environment names is no proxy, or the proxy does not lead to the server."""


@dataclass(frozen=True)
class Route:
    """A server, and the proxy before it."""

    server: Endpoint
    proxy: Endpoint | None = None

    @property
    def has_tunnel(self) -> bool:
        """Whether the proxy passes bytes on that it does not understand."""
        return self.proxy is not None and self.server.scheme == "https"

    @property
    def target(self) -> str:
        """What a request names: a proxy that is to understand it needs to know the server."""
        if self.proxy is None or self.has_tunnel:
            return self.server.path
        return f"http://{self.server.authority}{self.server.path}"

    @property
    def login(self) -> dict[str, str]:
        """The header by which the proxy knows its user."""
        known = self.proxy is not None and self.proxy.authorization
        return {"Proxy-Authorization": known} if known else {}


def find_route(server: Endpoint) -> Route:
    """Return the way to *server*: by ``http_proxy`` or ``https_proxy`` of the environment, or the system's settings.

    It is straight to what ``no_proxy`` excepts, and to this machine. Raises ProxyError, which does not show
    what the variable holds, for a proxy that is not spoken to in plain HTTP.
    """
    named = getproxies().get(server.scheme)
    if not named or on_this_machine(server.host) or proxy_bypass(server.authority):
        return Route(server)
    try:
        proxy = parse_url(named if "://" in named else f"http://{named}")
    except ValueError:
        proxy = None
    if proxy is None or proxy.scheme != "http":
        raise ProxyError(
            f"{server.scheme}_proxy of the environment must be http://HOST:PORT; no_proxy={server.host} leads around it"
        )
    return Route(server, proxy)


def on_this_machine(host: str) -> bool:
    """Return whether *host* is this machine, which a proxy would take for itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
