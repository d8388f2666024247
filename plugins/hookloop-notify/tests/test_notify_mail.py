"""E-mail against a real SMTP server: encrypted, with a login, and everything that may go wrong."""

import socket
import threading
import time

import pytest

from hookloop_notify.channel import Message, Unsent
from hookloop_notify.mail import Mail
from hookloop_notify.options import Email

MESSAGE = Message({}, {}, "digits: größer geht's nicht", "schöne Grüße\n.\nend\n")
PASSWORD = "correct-horse-battery"


def soon(seconds=5.0):
    limit = time.monotonic() + seconds
    return lambda: limit


def deliver(options, seconds=5.0):
    Mail(Email.model_validate(options)).send(MESSAGE, soon(seconds))


def refusal(options, seconds=5.0):
    with pytest.raises(Unsent) as caught:
        deliver(options, seconds)
    assert PASSWORD not in str(caught.value)
    assert caught.value.__cause__ is None
    return caught.value


def test_a_letter_arrives_encrypted_after_a_login(encrypted):
    box, options = encrypted
    deliver(options)
    (taken,) = box.letters
    assert taken.to == ["me@example.org", "you@example.org"]
    assert taken.sender == "training@example.org"
    assert taken.letter["From"] == "Training <training@example.org>"
    assert taken.letter["Subject"] == MESSAGE.subject
    assert taken.letter.get_content().splitlines() == ["schöne Grüße", ".", "end"]
    assert taken.letter["Date"]
    assert taken.letter["Message-ID"].endswith("@example.org>")
    assert taken.letter["Auto-Submitted"] == "auto-generated"


def test_a_wrong_password_is_told_without_it_and_not_tried_again(encrypted):
    box, options = encrypted
    error = refusal({**options, "password": f"not-{PASSWORD}"})
    assert "the login was refused: 535 5.7.8 bad credentials" in str(error)
    assert not error.transient
    assert box.letters == []


def test_a_certificate_of_nobody_we_know_is_not_trusted(encrypted):
    box, options = encrypted
    error = refusal({**options, "ca_file": None})
    assert "its certificate is not trusted: self-signed certificate. Name the file of the authority" in str(error)
    assert not error.transient
    assert box.logins == []


def test_a_certificate_of_another_host_is_not_trusted(encrypted):
    box, options = encrypted
    assert "not trusted" in str(refusal({**options, "host": "localhost"}))
    assert box.logins == []


def test_a_server_without_a_login_needs_none(mail):
    box, options = mail
    deliver(options)
    assert [taken.to for taken in box.letters] == [["c@d.org"]]


def test_a_login_where_the_server_has_none_is_told(mail):
    _, options = mail
    error = refusal({**options, "user": "me", "password": PASSWORD})
    assert "does not offer what is asked for" in str(error)
    assert not error.transient


def test_a_server_without_starttls_gets_no_password(mail):
    box, options = mail
    error = refusal({**options, "security": "starttls", "user": "me", "password": PASSWORD})
    assert "STARTTLS" in str(error)
    assert box.logins == []


def test_tls_where_the_server_speaks_in_the_clear_is_told(mail):
    _, options = mail
    assert "no encrypted connection" in str(refusal({**options, "security": "tls"}))


def test_a_server_that_is_busy_may_take_it_later(mail):
    box, options = mail
    box.busy = 1
    error = refusal(options)
    assert str(error) == "the server answered 451 4.3.0 come back later"
    assert error.transient


def test_an_address_that_nobody_has_is_told(mail):
    _, options = mail
    error = refusal({**options, "to": ["nobody@d.org"]})
    assert str(error) == "the server answered 550 5.1.1 no such user"
    assert not error.transient


def test_a_server_that_is_not_there_may_be_there_later(silent_port):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    error = refusal({"host": "127.0.0.1", "port": port, "security": "none", "from": "a@b.org", "to": ["c@d.org"]})
    assert "ConnectionRefusedError" in str(error)
    assert error.transient


@pytest.mark.parametrize("security", ["starttls", "tls", "none"])
def test_a_server_that_never_answers_is_left_when_the_time_is_over(silent_port, security):
    options = {"host": "127.0.0.1", "port": silent_port, "security": security, "from": "a@b.org", "to": ["c@d.org"]}
    begun = time.monotonic()
    error = refusal(options, seconds=0.3)
    assert time.monotonic() - begun < 2
    assert error.transient


def test_a_letter_that_was_taken_is_not_sent_again_because_the_goodbye_hangs():
    taken = []

    def serve(server):
        connection, _ = server.accept()
        with connection, connection.makefile("rb") as lines:
            connection.sendall(b"220 hello\r\n")
            for line in lines:
                if line.upper().startswith(b"DATA"):
                    connection.sendall(b"354 go on\r\n")
                    while lines.readline() != b".\r\n":
                        pass
                    taken.append(line)
                if not line.upper().startswith(b"QUIT"):
                    connection.sendall(b"250 OK\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        port = server.getsockname()[1]
        deliver({"host": "127.0.0.1", "port": port, "security": "none", "from": "a@b.org", "to": ["c@d.org"]}, 0.5)
        thread.join()
    assert taken == [b"data\r\n"]


def test_the_port_goes_by_how_it_is_encrypted():
    least = {"host": "mail.example.org", "from": "a@b.org", "to": ["c@d.org"]}
    places = [Mail(Email.model_validate({**least, "security": each})).place for each in ("starttls", "tls", "none")]
    assert places == [f"e-mail by mail.example.org:{port}" for port in (587, 465, 25)]
