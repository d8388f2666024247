"""A web server on this machine that misbehaves as it is told, on plain sockets, and keeps what it was sent."""

import json
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from contextlib import suppress

import pytest

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """Takes connections on a port of this machine; *behave(exchange)* answers each request, and may be changed."""

    def __init__(self, behave=None, port=0):
        self.behave = behave or well
        self.requests = []
        self.connections = 0
        self.ended = threading.Event()
        self.open = []
        self.listener = socket.create_server(("127.0.0.1", port), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/rows"

    @property
    def rows(self):
        """The rows that were answered with success, in order."""
        return [each["row"] for each in self.requests if each["taken"]]

    @property
    def ids(self):
        """Their ids, each once, in the order in which they came first."""
        return list(dict.fromkeys(row["id"] for row in self.rows))

    def accept(self):
        while not self.ended.is_set():
            with suppress(OSError):
                connection, _ = self.listener.accept()
                self.connections += 1
                self.open.append(connection)
                threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with suppress(OSError), connection:
            while not self.ended.is_set():
                exchange = Exchange(self, connection)
                if not exchange.read() or self.behave(exchange) is False:
                    break

    def wait_for(self, condition, seconds=10):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it did not come to that"
            time.sleep(0.01)

    def close(self):
        self.ended.set()
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for each in self.open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self.thread.join(5)


class Exchange:
    """One request, and the connection to answer on."""

    def __init__(self, server, connection):
        self.server, self.connection = server, connection
        self.line, self.headers, self.body, self.row = "", {}, b"", None

    def read(self):
        data = b""
        while b"\r\n\r\n" not in data:
            piece = self.connection.recv(65536)
            if not piece:
                return False
            data += piece
        head, _, self.body = data.partition(b"\r\n\r\n")
        self.line, *lines = head.decode().split("\r\n")
        self.headers = dict(re.split(r":\s*", line, maxsplit=1) for line in lines)
        while len(self.body) < int(self.headers["Content-Length"]):
            self.body += self.connection.recv(65536)
        with suppress(ValueError):
            self.row = json.loads(self.body)
        return True

    def answer(self, data=OK, taken=True):
        self.note(taken)
        self.connection.sendall(data)

    def note(self, taken):
        request = {"line": self.line, "headers": self.headers, "body": self.body, "row": self.row, "taken": taken}
        self.server.requests.append(request)


def well(exchange):
    exchange.answer()


@pytest.fixture
def server():
    """A server that takes every row until it is told otherwise."""
    made = Server()
    yield made
    made.close()


@pytest.fixture
def make_server():
    """A function that starts a server, such as on the port of one that went away."""
    made = []

    def start(behave=None, port=0):
        made.append(Server(behave, port))
        return made[-1]

    yield start
    for each in made:
        each.close()


@pytest.fixture
def free_port():
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


NAMES = "subjectAltName=DNS:localhost,DNS:metrics.example,IP:127.0.0.1"


@pytest.fixture
def tls_server(make_server, tmp_path):
    """A server that speaks TLS with a certificate of its own, and the path of that."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subject = ["-subj", "/CN=localhost", "-addext", NAMES, "-days", "2"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, *subject]
    subprocess.run(made, check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    server = make_server()
    plain = server.serve

    def serve(connection):
        try:
            wrapped = context.wrap_socket(connection, server_side=True)
        except OSError:
            connection.close()
            return
        server.open.append(wrapped)
        plain(wrapped)

    server.serve = serve
    return server, certificate


FAST = {"backoff_seconds": 0.02, "max_backoff_seconds": 0.05, "timeout_seconds": 0.5}


@pytest.fixture
def fast():
    """Options with which a test need not wait."""
    return dict(FAST)
