"""What is said to a proxy, and what it answers in the server's place."""

from __future__ import annotations

from hookloop_remote.answer import read_head
from hookloop_remote.connection import Connection
from hookloop_remote.route import ProxyError, Route

WANTS_LOGIN = 407


def dig_tunnel(connection: Connection, route: Route, deadline: float) -> None:
    """Have the proxy pass on what comes over *connection*, byte by byte. Raises OSError."""
    host = f"[{route.server.host}]" if ":" in route.server.host else route.server.host
    target = f"{host}:{route.server.port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}", *map(": ".join, route.login.items()), "", ""]
    connection.send("\r\n".join(lines).encode("latin-1"), deadline)
    status = read_head(connection, deadline).status
    check_status(route, status)
    if status >= 300:
        raise ProxyError(f"the proxy {label(route)} answers {status}")


def check_status(route: Route, status: int) -> None:
    """Raise ProxyError for a *status* that only a proxy answers, so that it does not pass for one of the server."""
    if route.proxy is not None and status == WANTS_LOGIN:
        raise ProxyError(f"the proxy {label(route)} wants a user and a password, or others, in its URL ({status})")


def label(route: Route) -> str:
    """Return the proxy's address for a message, without user and password."""
    return "" if route.proxy is None else route.proxy.authority
