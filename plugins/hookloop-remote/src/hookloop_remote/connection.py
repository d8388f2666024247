"""A connection that obeys a deadline: connecting, TLS, sending, and every byte of the answer together.

A timeout of a socket is one for each call, and a server that sends a byte a second never meets it.
"""

from __future__ import annotations

import socket
import ssl
import time
from contextlib import suppress

from hookloop_remote.route import Route

PIECE_BYTES = 16384


class Connection:
    """One connection to a server, or to the proxy before it, to be opened again when it is closed."""

    def __init__(self, route: Route) -> None:
        self.route = route
        self.answered = False  # whether the server has taken a request on this very connection
        self._socket: socket.socket | None = None
        self._aborted = False

    @property
    def is_open(self) -> bool:
        """Whether there is a connection, as far as is known."""
        return self._socket is not None

    def open(self, deadline: float) -> None:
        """Connect. Raises OSError; TimeoutError when *deadline*, of ``time.monotonic()``, is over."""
        hop = self.route.proxy or self.route.server
        addresses = socket.getaddrinfo(hop.host, hop.port, type=socket.SOCK_STREAM)
        for index, (family, kind, protocol, _, address) in enumerate(addresses):
            # Of several addresses the first may be one from which nothing comes back.
            share = remaining(deadline) / (len(addresses) - index)
            try:
                self._connect(socket.socket(family, kind, protocol), address, share)
                break
            except OSError:
                self.close()
                if index == len(addresses) - 1:
                    raise

    def secure(self, context: ssl.SSLContext, deadline: float) -> None:
        """Speak TLS with the server from here on. Raises OSError, as `open` does."""
        plain, name = self._ready(deadline), self.route.server.host
        # Two steps, so that `abort` finds the socket that the handshake waits on.
        made = context.wrap_socket(plain, server_hostname=name, do_handshake_on_connect=False)
        self._socket = made
        made.settimeout(remaining(deadline))
        made.do_handshake()

    def _connect(self, made: socket.socket, address: tuple[object, ...], seconds: float) -> None:
        self._socket = made
        if self._aborted:
            raise ConnectionAbortedError("the run is over")
        made.settimeout(seconds)
        made.connect(address)
        with suppress(OSError):
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data: bytes, deadline: float) -> None:
        """Send all of *data*. Raises OSError."""
        view = memoryview(data)
        while view:
            view = view[self._ready(deadline).send(view[:PIECE_BYTES]) :]

    def receive(self, deadline: float) -> bytes:
        """Return the next bytes, none at the end. Raises OSError."""
        return self._ready(deadline).recv(PIECE_BYTES)

    def _ready(self, deadline: float) -> socket.socket:
        if self._socket is None or self._aborted:
            raise ConnectionAbortedError("the connection is closed")
        self._socket.settimeout(remaining(deadline))
        return self._socket

    def close(self) -> None:
        """Close the connection, also towards the server where a forked process still has the socket."""
        ended, self._socket, self.answered = self._socket, None, False
        if ended is not None:
            with suppress(OSError):
                ended.shutdown(socket.SHUT_RDWR)
            with suppress(OSError):
                ended.close()

    def abort(self) -> None:
        """Wake a thread that waits for the server, from another one, and let it wait no more."""
        self._aborted = True
        waiting = self._socket
        if waiting is not None:
            with suppress(OSError):
                # That of the base class: the one of TLS forgets its state first, which is the other thread's.
                socket.socket.shutdown(waiting, socket.SHUT_RDWR)


def remaining(deadline: float) -> float:
    """Return the seconds until *deadline*. Raises TimeoutError when there are none."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("no answer in time")
    return left
