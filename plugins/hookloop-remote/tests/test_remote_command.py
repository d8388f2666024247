"""`hookloop remote send`, on what a run has left."""

import json

import pytest

from hookloop.cli.main import run

ANSWER_500 = b"HTTP/1.1 500 no\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture
def left(tiny_run, server, fast, tmp_path, monkeypatch):
    """The directory of a run that delivered nothing, of a server that is well now."""
    monkeypatch.setenv("REMOTE_TOKEN", "s3cret")
    server.behave = lambda exchange: exchange.answer(ANSWER_500, taken=False)
    options = {"url": server.url, "bearer_token": {"env": "REMOTE_TOKEN"}, **fast, "drain_seconds": 0.1}
    tiny_run([("remote", options)], run_dir=tmp_path / "run")
    server.behave = lambda exchange: exchange.answer()
    return tmp_path / "run"


def call(capsys, *words):
    capsys.readouterr()
    return run(["remote", "send", *map(str, words)]), *capsys.readouterr()


def test_it_sends_what_is_left_with_the_options_of_the_run(left, server, capsys):
    code, out, err = call(capsys, left)
    assert (code, out, err) == (0, f"remote: 8 rows sent to {server.url}, 0 left\n", "")
    assert len(server.ids) == 8
    assert server.requests[-1]["headers"]["Authorization"] == "Bearer s3cret"
    assert call(capsys, left)[:2] == (0, f"remote: 0 rows sent to {server.url}, 0 left\n")


def test_it_says_what_could_not_be_sent_and_when_to_give_up(left, server, capsys):
    server.behave = lambda exchange: exchange.answer(ANSWER_500, taken=False)
    code, out, _ = call(capsys, left, "--seconds", "0.3", "--json")
    assert code == 1
    (report,) = json.loads(out)
    assert (report["delivered"], report["waiting"], report["last_error"]) == (0, 8, "it answers 500")


def test_another_url_can_be_given(left, make_server, capsys):
    other = make_server()
    assert call(capsys, left, "--url", other.url)[0] == 0
    assert len(other.ids) == 8


def test_a_directory_that_is_no_run_is_an_error_without_a_traceback(tmp_path, capsys):
    code, _, err = call(capsys, tmp_path)
    assert code == 2
    assert "is no run directory" in err


def test_a_secret_that_is_not_set_is_named(left, capsys, monkeypatch):
    monkeypatch.delenv("REMOTE_TOKEN")
    code, _, err = call(capsys, left)
    assert code == 2
    assert "'REMOTE_TOKEN'" in err


def test_a_secret_that_was_written_in_plain_is_not_in_the_file_and_asked_for(tiny_run, server, fast, tmp_path, capsys):
    server.behave = lambda exchange: exchange.answer(ANSWER_500, taken=False)
    options = {"url": server.url, "bearer_token": "s3cret", **fast, "drain_seconds": 0.1}
    tiny_run([("remote", options)], run_dir=tmp_path / "run")
    code, _, err = call(capsys, tmp_path / "run")
    assert code == 2
    assert "secret 'bearer_token'" in err
    assert "env" in err
