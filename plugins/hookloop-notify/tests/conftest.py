"""Real servers on the loopback: for SMTP with TLS and a login, for HTTP, and one that never answers."""

import asyncio
import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
import warnings
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
from aiosmtpd.smtp import SMTP, AuthResult

USER, PASSWORD = "trainer", "correct-horse-battery"
SLUG = "T024BE7LD-B0123456-uPh4Qv0R9xK2"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    """The servers of these tests are on this machine."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A self-signed certificate of 127.0.0.1: the path of the certificate, and that of the key."""
    place = tmp_path_factory.mktemp("tls")
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate with")
    made = SimpleNamespace(cert=place / "cert.pem", key=place / "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(made.key), "-out", str(made.cert)]
    subprocess.run(command, check=True, capture_output=True)
    return made


def server_context(certificate):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.cert, certificate.key)
    return context


@dataclass
class Mailbox:
    """What the server took, and who logged in."""

    port: int = 0
    letters: list = field(default_factory=list)
    logins: list = field(default_factory=list)
    busy: int = 0  # so many letters are put off before one is taken

    async def handle_DATA(self, server, session, envelope):
        if self.busy:
            self.busy -= 1
            return "451 4.3.0 come back later"
        if any("nobody" in address for address in envelope.rcpt_tos):
            return "550 5.1.1 no such user"
        letter = message_from_bytes(envelope.content, policy=policy.default)
        self.letters.append(SimpleNamespace(to=list(envelope.rcpt_tos), sender=envelope.mail_from, letter=letter))
        return "250 OK"

    def authenticate(self, server, session, envelope, mechanism, given):
        login = (given.login.decode(), given.password.decode())
        self.logins.append(login)
        if login == (USER, PASSWORD):
            return AuthResult(success=True)
        return AuthResult(success=False, handled=False, message="535 5.7.8 bad credentials")


@contextlib.contextmanager
def smtp_server(security, certificate, **options):
    """A server with *security*, on a thread with a loop of its own; it yields its `Mailbox`."""
    box, loop = Mailbox(), asyncio.new_event_loop()
    context = None if security == "none" else server_context(certificate)
    # It cannot tell that the connection is encrypted from its first byte.
    login = {"auth_required": True, "authenticator": box.authenticate, "auth_require_tls": security != "tls"}
    if security == "starttls":
        login |= {"tls_context": context, "require_starttls": True}
    options = {**login, **options}

    def protocol():
        with warnings.catch_warnings(action="ignore"):
            return SMTP(box, loop=loop, **options)

    async def serve():
        implicit = context if security == "tls" else None
        return await loop.create_server(protocol, "127.0.0.1", 0, ssl=implicit)

    server = loop.run_until_complete(serve())
    box.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield box
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0.05))
        loop.close()


@pytest.fixture(params=["starttls", "tls"])
def encrypted(request, certificate):
    """A server with a login, for both ways to encrypt: its mailbox, and the options for it."""
    with smtp_server(request.param, certificate) as box:
        yield box, email_options(box, certificate, request.param)


@pytest.fixture
def mail(certificate):
    """A server that takes everything, unencrypted: its mailbox, and the options for it."""
    with smtp_server("none", certificate, auth_required=False, authenticator=None) as box:
        yield box, {"host": "127.0.0.1", "port": box.port, "security": "none", "from": "a@b.org", "to": ["c@d.org"]}


def email_options(box, certificate, security):
    return {
        "host": "127.0.0.1",
        "port": box.port,
        "security": security,
        "user": USER,
        "password": PASSWORD,
        "from": "Training <training@example.org>",
        "to": ["me@example.org", "you@example.org"],
        "ca_file": str(certificate.cert),
    }


@dataclass
class Hook:
    """A webhook: what it was sent, and how it answers, one answer after the other and the last for ever."""

    url: str = ""
    answers: list = field(default_factory=lambda: [200])
    requests: list = field(default_factory=list)
    body: bytes = b"ok"
    headers: dict = field(default_factory=dict)

    def next_answer(self):
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def handler_for(hook):
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            data = self.rfile.read(int(self.headers["Content-Length"]))
            hook.requests.append(SimpleNamespace(path=self.path, headers=dict(self.headers), data=data))
            self.answer()

        def do_GET(self):
            hook.requests.append(SimpleNamespace(path=self.path, headers=dict(self.headers), data=b"GET"))
            self.answer()

        def answer(self):
            self.send_response(hook.next_answer())
            for name, value in hook.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(hook.body)))
            self.end_headers()
            self.wfile.write(hook.body)

        def log_message(self, *args):
            pass

    return Handler


@contextlib.contextmanager
def http_server(context=None):
    """A server on a thread; it yields its `Hook`."""
    hook = Hook()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_for(hook))
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    hook.url = f"{'https' if context else 'http'}://127.0.0.1:{server.server_port}/services/{SLUG}"
    try:
        yield hook
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def hook(monkeypatch):
    """A webhook that takes everything, until it is told otherwise; its address is in the environment too."""
    with http_server() as made:
        monkeypatch.setenv("HOOK_URL", made.url)
        yield made


@pytest.fixture
def secure_hook(certificate):
    """The same with a certificate of its own making."""
    with http_server(server_context(certificate)) as made:
        yield made


@pytest.fixture
def silent_port():
    """The port of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as server:
        yield server.getsockname()[1]


@pytest.fixture
def said(caplog):
    """A function that returns what the plugin has logged; the mail server logs as well."""
    return lambda: [each.getMessage() for each in caplog.records if each.name == "hookloop.notify"]
