"""Rows that go through a proxy, a real one on this machine, to a server that nothing else leads to."""

import logging
import socket
import threading
from contextlib import suppress

import pytest

from hookloop import HookloopError
from hookloop_remote.endpoint import parse_url
from hookloop_remote.poster import Poster
from hookloop_remote.route import ProxyError, Route, find_route

VARIABLES = [f"{name}_proxy" for name in ("http", "https", "all", "no")]


class Proxy:
    """Lets whoever logs in through to *port* of this machine, whatever name they ask for; keeps what it was told."""

    def __init__(self, port, refusal=b""):
        self.port, self.refusal, self.heads, self.open = port, refusal, [], []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.authority = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                self.open.append(client)
                threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        data = b""
        with suppress(OSError):
            while b"\r\n\r\n" not in data:
                piece = client.recv(65536)
                if not piece:
                    return
                data += piece
            head, _, _ = data.decode("latin-1").partition("\r\n\r\n")
            self.heads.append(head)
            if self.refusal:
                client.sendall(self.refusal + b" no\r\nContent-Length: 0\r\n\r\n")
                client.close()
                return
            server = socket.create_connection(("127.0.0.1", self.port))
            self.open.append(server)
            if head.startswith("CONNECT"):
                client.sendall(b"HTTP/1.1 200 connected\r\n\r\n")
            else:
                server.sendall(data)
            threading.Thread(target=pump, args=(server, client), daemon=True).start()
            pump(client, server)

    def close(self):
        for each in (self.listener, *self.open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


def pump(source, target):
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def make_proxy():
    """A function that starts a proxy to a port."""
    made = []

    def start(*words):
        made.append(Proxy(*words))
        return made[-1]

    yield start
    for each in made:
        each.close()


LOGIN = "Proxy-Authorization: Basic bWU6czNjcmV0"


def test_rows_go_through_the_proxy_with_its_login(make_proxy, server, tiny_run, fast, monkeypatch):
    proxy = make_proxy(server.port)
    monkeypatch.setenv("http_proxy", f"http://me:s3cret@{proxy.authority}")
    tiny_run([("remote", {"url": "http://metrics.example/rows", **fast})])
    assert len(server.ids) == 8
    (head,) = proxy.heads  # one connection, as without it
    assert head.startswith("POST http://metrics.example/rows HTTP/1.1\r\nHost: metrics.example\r\n")
    assert LOGIN in head


def test_of_what_goes_by_tls_the_proxy_sees_the_name_of_the_server_alone(
    make_proxy, tls_server, tiny_run, fast, monkeypatch
):
    server, certificate = tls_server
    proxy = make_proxy(server.port)
    monkeypatch.setenv("HTTPS_PROXY", f"me:s3cret@{proxy.authority}")
    patient = {**fast, "timeout_seconds": 10, "drain_seconds": 10, "ca_file": str(certificate)}
    tiny_run([("remote", {"url": "https://metrics.example/rows", "bearer_token": "t0ken", **patient})])
    assert len(server.ids) == 8
    assert proxy.heads == [f"CONNECT metrics.example:443 HTTP/1.1\r\nHost: metrics.example:443\r\n{LOGIN}"]
    assert server.requests[0]["headers"]["Authorization"] == "Bearer t0ken"
    assert "Proxy-Authorization" not in server.requests[0]["headers"]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_lets_nobody_in_loses_no_row_and_gets_no_row(
    make_proxy, server, tiny_run, fast, monkeypatch, caplog, scheme
):
    caplog.set_level(logging.WARNING)
    proxy = make_proxy(server.port, b"HTTP/1.1 407")
    monkeypatch.setenv(f"{scheme}_proxy", f"http://me:s3cret@{proxy.authority}")
    options = {"url": f"{scheme}://metrics.example/rows", "retries": 1, "bearer_token": "t0ken", **fast}
    tiny_run([("remote", {**options, "drain_seconds": 1})])
    assert "8 kept" in caplog.text
    assert f"the proxy {proxy.authority} wants a user and a password, or others, in its URL (407)" in caplog.text
    assert "s3cret" not in caplog.text
    assert len(proxy.heads) > 2
    if scheme == "https":
        assert {head.split()[0] for head in proxy.heads} == {"CONNECT"}
        assert "t0ken" not in "".join(proxy.heads)


def test_what_a_proxy_answers_instead_of_a_tunnel_is_told(make_proxy, monkeypatch):
    proxy = make_proxy(0, b"HTTP/1.1 503")
    monkeypatch.setenv("https_proxy", proxy.authority)
    poster = Poster(find_route(parse_url("https://metrics.example/")), {}, timeout_seconds=5)
    for _ in range(2):
        with pytest.raises(ProxyError, match=f"the proxy {proxy.authority} answers 503"):
            poster.post(b"{}", {})


def test_a_proxy_that_says_nothing_has_the_deadline_of_a_try(server, monkeypatch):
    server.serve = lambda connection: server.ended.wait(30)
    monkeypatch.setenv("https_proxy", f"127.0.0.1:{server.port}")
    poster = Poster(find_route(parse_url("https://metrics.example/")), {}, timeout_seconds=0.3)
    with pytest.raises(TimeoutError):
        poster.post(b"{}", {})
    poster.close()


@pytest.mark.parametrize(
    "url", ["http://localhost:9000/", "http://127.0.0.7/", "http://[::1]:9/", "http://in.example/", "https://other/"]
)
def test_this_machine_and_what_no_proxy_names_are_gone_to_straight(monkeypatch, url):
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "in.example")
    assert find_route(parse_url(url)) == Route(parse_url(url))
    assert find_route(parse_url("http://other/")).proxy == parse_url("http://proxy.example:3128")


@pytest.mark.parametrize("named", ["socks5://me:s3cret@proxy:1080", "https://me:s3cret@proxy", "http://me:s3cret@"])
def test_another_kind_of_proxy_is_an_error_before_the_first_step(tiny_run, monkeypatch, named):
    monkeypatch.setenv("http_proxy", named)
    with pytest.raises(HookloopError, match=r"http_proxy .* must be http://HOST:PORT; no_proxy=h leads") as caught:
        tiny_run([("remote", {"url": "http://h/"})])
    assert "s3cret" not in str(caught.value)
