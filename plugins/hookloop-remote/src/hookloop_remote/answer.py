"""Reads what a server answers to a request, as much of it as is of use, and believes nothing.

Of ``http.client`` only the rules are taken: it waits for a line as long as bytes of it come in, and reads any number of
interim answers.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hookloop_remote.connection import Connection

HEAD_BYTES = 65536  # of all heads together, those of interim answers included
BODY_BYTES = 65536
BODY_SECONDS = 1.0  # the body says nothing that is needed, so nobody waits for it for long

_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-5]\d\d)(?: [^\r\n]*)?\r?\n")
_START = b"HTTP/1."
_HEAD_END = re.compile(rb"\r?\n\r?\n")


class AnswerError(OSError):
    """What came back is no answer, or none of which anything is known."""


@dataclass(frozen=True)
class Answer:
    """The status and what else is of use.

    ``whole`` is False for one that broke off before the end that it announced; one that was longer than anybody needs
    was whole. ``reusable`` tells whether the connection may be used again.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    whole: bool = True
    reusable: bool = False


@dataclass(frozen=True)
class Head:
    """What an answer begins with, the minor version of HTTP first; *rest* is what came in behind it."""

    version: int
    status: int
    headers: Mapping[str, str]
    rest: bytearray


def read_answer(connection: Connection, deadline: float) -> Answer:
    """Read one answer. Raises OSError, as a `AnswerError` when it is not understood."""
    head = read_head(connection, deadline)
    whole, clean = read_body(head.status, head.headers, head.rest, body_source(connection, deadline))
    keeps = head.version == 1 and "close" not in head.headers.get("connection", "").lower()
    return Answer(head.status, head.headers, whole, reusable=clean and keeps)


def read_head(connection: Connection, deadline: float) -> Head:
    """Read as far as the body of an answer, past interim ones. Raises OSError, as `read_answer` does."""
    buffer = bytearray()
    read = searched = 0
    while True:
        end = _HEAD_END.search(buffer, max(0, searched - 3))
        if end is None:
            piece = connection.receive(deadline)
            if not piece:
                raise AnswerError("it closed the connection in the middle of an answer" if buffer else CLOSED)
            searched = len(buffer)
            read += len(piece)
            buffer += piece
            if not _START.startswith(buffer[: len(_START)]) or read > HEAD_BYTES:
                raise AnswerError("what it answers is not HTTP")
            continue
        version, status, headers = parse_head(bytes(buffer[: end.end()]))
        del buffer[: end.end()]
        searched = 0
        if status == 101:
            raise AnswerError("it wants to switch protocols")
        if status >= 200:
            return Head(version, status, headers, buffer)


CLOSED = "it closed the connection without an answer"


def parse_head(head: bytes) -> tuple[int, int, dict[str, str]]:
    """Return the minor version, the status and the headers, by names in small letters."""
    match = _STATUS.match(head)
    if match is None:
        raise AnswerError("what it answers is not HTTP")
    headers: dict[str, str] = {}
    for line in head[match.end() :].decode("latin-1").splitlines():
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    return int(match[1]), int(match[2]), headers


def body_source(connection: Connection, deadline: float) -> Callable[[], bytes | None]:
    """Return a function that reads the next bytes of a body: empty at its end, None when the server breaks off."""
    soon = min(deadline, time.monotonic() + BODY_SECONDS)

    def receive() -> bytes | None:
        try:
            return connection.receive(soon)
        except OSError:
            return None

    return receive


def read_body(
    status: int, headers: Mapping[str, str], buffer: bytearray, receive: Callable[[], bytes | None]
) -> tuple[bool, bool]:
    """Read the body to its end or as far as is bearable.

    Returns whether it was whole, and whether the next answer would begin right behind it.
    """
    chunked = "chunked" in headers.get("transfer-encoding", "").lower()
    length = headers.get("content-length", "")
    if status in (204, 304):
        return True, not buffer
    if not chunked and length.isascii() and length.isdecimal() and len(length) < 20:
        expected = int(length)
        while len(buffer) < min(expected, BODY_BYTES):
            piece = receive()
            if not piece:
                return False, False
            buffer += piece
        return True, len(buffer) == expected
    end = b"0\r\n\r\n"
    while len(buffer) < BODY_BYTES:
        if chunked and (buffer == end or buffer.endswith(b"\r\n" + end)):
            return True, True
        piece = receive()
        if not piece:
            # Without a length, the end of the connection is the end of the body.
            return piece == b"" and not chunked, False
        buffer += piece
    return True, False
