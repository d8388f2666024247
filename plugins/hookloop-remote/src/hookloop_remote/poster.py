"""Posts one row: the request, redirects to the same host, and a connection that is kept."""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping

from hookloop_remote.answer import CLOSED, Answer, AnswerError, read_answer
from hookloop_remote.connection import Connection
from hookloop_remote.endpoint import redirected
from hookloop_remote.route import Route, find_route
from hookloop_remote.tunnel import check_status, dig_tunnel

MAX_REDIRECTS = 3
REDIRECTS = (301, 302, 307, 308)  # 303 leads to a page about what was posted, which is no place to post to


class Poster:
    """Posts to the end of *route*; each try, redirects included, takes *timeout_seconds* at most and bounded memory."""

    def __init__(
        self,
        route: Route,
        headers: Mapping[str, str],
        *,
        timeout_seconds: float,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.route = route
        self.timeout_seconds = timeout_seconds
        self._headers = dict(headers)
        self._context = context
        self._connection: Connection | None = None
        self._aborted = False

    def post(self, body: bytes, more_headers: Mapping[str, str]) -> Answer:
        """Post *body* and return the answer. Raises OSError when there is none."""
        deadline = time.monotonic() + self.timeout_seconds
        route = self.route
        for _ in range(MAX_REDIRECTS + 1):
            answer = self._exchange(route, self._request(route, body, more_headers), deadline)
            if answer.status not in REDIRECTS:
                return answer
            target = redirected(route.server, answer.headers.get("location", ""))
            if isinstance(target, str):
                raise AnswerError(target)
            route = find_route(target)
        raise AnswerError(f"it redirects more than {MAX_REDIRECTS} times")

    def _request(self, route: Route, body: bytes, more_headers: Mapping[str, str]) -> bytes:
        headers = {"Host": route.server.authority, "Content-Length": str(len(body)), "Accept": "*/*"}
        if route.server.authorization:
            headers["Authorization"] = route.server.authorization
        headers = overlaid(headers, more_headers, self._headers, {} if route.has_tunnel else route.login)
        lines = [f"POST {route.target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        return "\r\n".join(lines).encode("latin-1") + body

    def _exchange(self, route: Route, request: bytes, deadline: float) -> Answer:
        connection = self._connected(route, deadline)
        reused = connection.answered
        try:
            answer = ask(connection, request, deadline)
            check_status(route, answer.status)
        except TimeoutError:
            self.close()
            raise
        except OSError as error:
            self.close()
            # A server closes a connection that nothing came over for a while: that is nothing to wait for.
            if reused and (isinstance(error, ConnectionError) or str(error) == CLOSED):
                return self._exchange(route, request, deadline)
            raise
        connection.answered = True
        if not answer.reusable:
            self.close()
        return answer

    def _connected(self, route: Route, deadline: float) -> Connection:
        connection = self._connection
        if connection is None or connection.route.server.origin != route.server.origin or not connection.is_open:
            self.close()
            connection = self._connection = Connection(route)
            if self._aborted:
                connection.abort()
            try:
                self._open(connection, deadline)
            except OSError:
                self.close()  # one that leads but half the way is none to send a row on
                raise
        return connection

    def _open(self, connection: Connection, deadline: float) -> None:
        route = connection.route
        connection.open(deadline)
        if route.has_tunnel:
            dig_tunnel(connection, route, deadline)
        if route.server.scheme == "https":
            if self._context is None:  # where http redirects to it
                self._context = ssl.create_default_context()
            connection.secure(self._context, deadline)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

    def abort(self) -> None:
        """End the try that another thread is at, and each later one."""
        self._aborted = True
        if self._connection is not None:
            self._connection.abort()


def ask(connection: Connection, request: bytes, deadline: float) -> Answer:
    """Send *request* and return the answer, which a server may give before it has read everything."""
    try:
        connection.send(request, deadline)
    except TimeoutError:
        raise
    except OSError as error:
        try:
            return read_answer(connection, deadline)
        except OSError:
            raise error from None
    return read_answer(connection, deadline)


def overlaid(*layers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of all *layers*; of one name, however it is written, that of the last."""
    found: dict[str, tuple[str, str]] = {}
    for layer in layers:
        found |= {name.lower(): (name, value) for name, value in layer.items()}
    return dict(found.values())
