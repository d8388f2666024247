"""Servers that do what no server should: training goes on, and every row arrives, in order, once one behaves."""

import signal
import threading
import time
import tracemalloc

import pytest

from hookloop import hookimpl
from hookloop_remote import Remote
from hookloop_remote.answer import AnswerError
from hookloop_remote.endpoint import parse_url
from hookloop_remote.outbox import Outbox
from hookloop_remote.poster import Poster
from hookloop_remote.route import Route
from hookloop_remote.rows import Place

SILENCE = 30  # seconds, longer than any test


def never_answers(exchange):
    exchange.note(False)
    exchange.server.ended.wait(SILENCE)


def closes_before_the_answer(exchange):
    exchange.note(False)
    return False


def closes_in_the_body(exchange):
    exchange.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", taken=False)
    return False


def closes_in_the_head(exchange):
    exchange.answer(b"HTTP/1.1 200 OK\r\nContent-Le", taken=False)
    return False


def answers_500(exchange):
    exchange.answer(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", taken=False)


def asks_for_years(exchange):
    exchange.answer(b"HTTP/1.1 429 Slow\r\nRetry-After: 999999999999\r\nContent-Length: 0\r\n\r\n", taken=False)


def redirects_to_itself(exchange):
    exchange.answer(b"HTTP/1.1 307 Here\r\nLocation: /rows\r\nContent-Length: 0\r\n\r\n", taken=False)


def redirects_to_another_host(exchange):
    exchange.answer(
        b"HTTP/1.1 302 There\r\nLocation: http://example.invalid/\r\nContent-Length: 0\r\n\r\n", taken=False
    )


def redirects_without_a_place(exchange):
    exchange.answer(b"HTTP/1.1 301 Nowhere\r\nContent-Length: 0\r\n\r\n", taken=False)


def sees_other(exchange):
    exchange.answer(b"HTTP/1.1 303 See\r\nLocation: /rows\r\nContent-Length: 0\r\n\r\n", taken=False)


def drips_its_head(exchange):
    exchange.note(False)
    exchange.connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while not exchange.server.ended.wait(0.02):
        exchange.connection.sendall(b"x")


def floods_with_100(exchange):
    exchange.note(False)
    while not exchange.server.ended.is_set():
        exchange.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)


def endless_head(exchange):
    exchange.note(False)
    exchange.connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while not exchange.server.ended.is_set():
        exchange.connection.sendall(b"X-More: " + b"y" * 10000 + b"\r\n")


def speaks_no_http(exchange):
    exchange.answer(b"SSH-2.0-OpenSSH_9.9\r\n", taken=False)
    exchange.server.ended.wait(SILENCE)


def switches_protocols(exchange):
    exchange.answer(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", taken=False)


NOT_TAKEN = [
    never_answers, closes_before_the_answer, closes_in_the_body, closes_in_the_head, answers_500, asks_for_years,
    redirects_to_itself, redirects_to_another_host, redirects_without_a_place, sees_other, drips_its_head,
    floods_with_100, endless_head, speaks_no_http, switches_protocols,
]  # fmt: skip


def gigabyte(exchange):
    exchange.note(True)
    exchange.connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
    for _ in range(1000):
        exchange.connection.sendall(b"x" * 1_000_000)
    return False


def endless_chunks(exchange):
    exchange.note(True)
    exchange.connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not exchange.server.ended.is_set():
        exchange.connection.sendall(b"1000\r\n" + b"x" * 4096 + b"\r\n")


def endless_body_without_a_length(exchange):
    exchange.note(True)
    exchange.connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
    while not exchange.server.ended.is_set():
        exchange.connection.sendall(b"x" * 100_000)


def more_than_announced(exchange):
    exchange.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nHTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n")


def nothing_but_a_status(exchange):
    exchange.answer(b"HTTP/1.1 204 \r\n\r\n")


def closes_after_each(exchange):
    exchange.answer(b"HTTP/1.1 201 Created\r\nConnection: close\r\n\r\nthanks")
    return False


def closes_without_a_word(exchange):
    exchange.answer()
    return False


def interim_answers_first(exchange):
    head = b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    exchange.answer(head + b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")


TAKEN = [
    gigabyte, endless_chunks, endless_body_without_a_length, more_than_announced, nothing_but_a_status,
    closes_after_each, closes_without_a_word, interim_answers_first,
]  # fmt: skip

name_of = lambda behaviour: behaviour.__name__  # noqa: E731


def ids_of(server):
    """Every id that reached the server, in the order of the first time."""
    return list(dict.fromkeys(each["headers"]["Idempotency-Key"] for each in server.requests))


@pytest.mark.parametrize("behaviour", NOT_TAKEN, ids=name_of)
def test_what_a_hostile_server_did_not_take_is_delivered_by_the_next_run(tiny_run, server, fast, behaviour, tmp_path):
    server.behave = behaviour
    options = {"url": server.url, **fast, "timeout_seconds": 0.2, "retries": 100, "drain_seconds": 0.3}
    tiny_run([], steps=1)  # which imports torch
    began = time.monotonic()
    tiny_run([("remote", options)], run_dir=tmp_path / "run")
    assert time.monotonic() - began < 5
    assert server.requests
    assert server.rows == []
    server.behave = lambda exchange: exchange.answer()
    tiny_run([("remote", {**options, "drain_seconds": 10})], commands=("test",), run_dir=tmp_path / "run")
    assert [(row["step"], row["epoch"]) for row in server.rows[:8]] == [
        (1, 0), (2, 0), (3, 0), (3, 1), (4, 1), (5, 1), (6, 1), (6, 2),
    ]  # fmt: skip
    assert [row["stage"] for row in server.rows[8:]] == ["test"]
    assert len(set(server.ids)) == len(server.rows)
    assert ids_of(server) == server.ids


@pytest.mark.parametrize("behaviour", TAKEN, ids=name_of)
def test_an_odd_answer_that_says_yes_is_a_yes(tiny_run, server, fast, behaviour):
    server.behave = behaviour
    tiny_run([("remote", {"url": server.url, **fast, "timeout_seconds": 5})])
    assert len(server.rows) == len(server.ids) == 8


@pytest.mark.parametrize(
    "behaviour", [gigabyte, endless_chunks, endless_body_without_a_length, endless_head], ids=name_of
)
def test_a_gigabyte_back_costs_neither_memory_nor_time(server, behaviour):
    server.behave = behaviour
    poster = Poster(Route(parse_url(server.url)), {}, timeout_seconds=5)
    tracemalloc.start()
    began = time.monotonic()
    try:
        poster.post(b"{}", {})
    except AnswerError:
        assert behaviour is endless_head
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        poster.close()
    assert time.monotonic() - began < 2
    assert peak < 2_000_000


@pytest.mark.parametrize("behaviour", [never_answers, drips_its_head, floods_with_100], ids=name_of)
def test_a_try_ends_when_its_time_is_over(server, behaviour):
    server.behave = behaviour
    poster = Poster(Route(parse_url(server.url)), {}, timeout_seconds=0.3)
    began = time.monotonic()
    with pytest.raises(OSError, match=r"in time|timed out|not HTTP"):
        poster.post(b"{}", {})
    assert time.monotonic() - began < 0.6


def test_a_body_that_drips_is_not_waited_for(server):
    def drips(exchange):
        exchange.note(True)
        exchange.connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not exchange.server.ended.wait(0.02):
            exchange.connection.sendall(b"x")

    server.behave = drips
    began = time.monotonic()
    answer = Poster(Route(parse_url(server.url)), {}, timeout_seconds=20).post(b"{}", {})
    assert (answer.status, answer.whole) == (200, False)
    assert time.monotonic() - began < 3


def test_a_server_that_reads_nothing_of_a_large_row_does_not_hold_it(make_server):
    def stalls(exchange):
        exchange.server.ended.wait(SILENCE)

    made = make_server(stalls)
    made.serve = stalls_before_reading(made)
    poster = Poster(Route(parse_url(made.url)), {}, timeout_seconds=0.4)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        poster.post(b"x" * 50_000_000, {})
    assert time.monotonic() - began < 1.5


def stalls_before_reading(server):
    return lambda connection: server.ended.wait(SILENCE)


class Slow:
    """Makes the training last long enough for a server to come back."""

    role = "observer"

    def __init__(self, seconds):
        self.seconds = seconds

    @hookimpl
    def on_step_end(self):
        time.sleep(self.seconds)


def test_a_server_that_answers_500_for_a_while_gets_every_row_in_order(tiny_run, server, fast):
    began = time.monotonic()

    def recovers(exchange):
        if time.monotonic() - began < 1:
            return answers_500(exchange)
        return exchange.answer()

    server.behave = recovers
    tiny_run([("remote", {"url": server.url, **fast}), Slow(0.05)], steps=20)
    assert len(server.ids) == len(server.rows) == 42
    assert [row["step"] for row in server.rows] == sorted(row["step"] for row in server.rows)


def test_a_refusing_port_gets_every_row_once_somebody_listens(tiny_run, make_server, free_port, fast, caplog):
    made = []
    timer = threading.Timer(0.6, lambda: made.append(make_server(port=free_port)))
    timer.start()
    url = f"http://127.0.0.1:{free_port}/rows"
    tiny_run([("remote", {"url": url, **fast, "retries": 2}), Slow(0.05)], steps=20)
    timer.join()
    assert len(made[0].ids) == len(made[0].rows) == 42
    assert caplog.text.count("takes no rows") == 1


def test_a_lost_answer_is_a_repeat_with_the_same_id(tiny_run, server, fast):
    def loses_every_third_answer(exchange):
        if len(server.requests) % 3 == 0:
            exchange.note(True)
            return False
        return exchange.answer()

    server.behave = loses_every_third_answer
    tiny_run([("remote", {"url": server.url, **fast})])
    assert len(server.ids) == 8
    assert len(server.rows) > 8
    by_id = {row["id"]: row for row in server.rows}
    assert all(by_id[row["id"]] == row for row in server.rows)


def test_a_server_that_always_breaks_off_after_yes_still_gets_every_row(tiny_run, server, fast):
    def breaks_off(exchange):
        exchange.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
        return False

    server.behave = breaks_off
    tiny_run([("remote", {"url": server.url, **fast, "retries": 2})])
    assert len(server.ids) == 8
    assert len(server.rows) == 8 + 2


def test_a_row_that_the_server_refuses_holds_up_no_other_and_is_offered_again(tiny_run, server, fast, tmp_path, caplog):
    def picky(exchange):
        if exchange.row["step"] == 2:
            return exchange.answer(b"HTTP/1.1 422 No\r\nContent-Length: 0\r\n\r\n", taken=False)
        return exchange.answer()

    server.behave = picky
    request = ("remote", {"url": server.url, **fast, "retries": 1})
    tiny_run([request], run_dir=tmp_path / "run")
    assert [row["step"] for row in server.rows] == [1, 3, 3, 4, 5, 6, 6]
    assert "refuses a row (422)" in caplog.text
    assert "1 refused" in caplog.text
    server.behave = lambda exchange: exchange.answer()
    tiny_run([request], commands=("test",), run_dir=tmp_path / "run")
    assert [row["step"] for row in server.rows[7:8]] == [2]


def test_retry_after_is_honoured(tiny_run, server, fast):
    times = []

    def asks_once(exchange):
        times.append(time.monotonic())
        if len(times) == 1:
            return exchange.answer(b"HTTP/1.1 503 x\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n", taken=False)
        return exchange.answer()

    server.behave = asks_once
    tiny_run([("remote", {"url": server.url, **fast}), Slow(0.2)], steps=8, epochs=1)
    assert 1 <= times[1] - times[0] < 1.5
    assert len(server.ids) == 9


def test_a_redirect_on_the_same_host_is_followed_with_the_row(tiny_run, server, fast):
    def moved(exchange):
        if exchange.line.startswith("POST /rows "):
            return exchange.answer(b"HTTP/1.1 308 Moved\r\nLocation: /new\r\nContent-Length: 0\r\n\r\n", taken=False)
        return exchange.answer()

    server.behave = moved
    tiny_run([("remote", {"url": server.url, **fast})])
    assert len(server.ids) == len(server.rows) == 8


def test_no_header_ever_goes_to_another_host(tiny_run, server, make_server, fast):
    other = make_server()

    def elsewhere(exchange):
        place = f"http://localhost:{other.port}/".encode()
        exchange.answer(b"HTTP/1.1 307 x\r\nLocation: " + place + b"\r\nContent-Length: 0\r\n\r\n", taken=False)

    server.behave = elsewhere
    tiny_run([("remote", {"url": server.url, "bearer_token": "x", **fast, "drain_seconds": 0.3})])
    assert server.requests
    assert other.connections == 0


def test_a_connection_that_the_server_closed_meanwhile_is_opened_again(server):
    def closes_later(exchange):
        exchange.answer()
        time.sleep(0.05)
        return False

    server.behave = closes_later
    poster = Poster(Route(parse_url(server.url)), {}, timeout_seconds=2)
    for _ in range(3):
        assert poster.post(b"{}", {"Idempotency-Key": "a"}).status == 200
        time.sleep(0.15)
    poster.close()
    assert server.connections == 3


@pytest.mark.parametrize("behaviour", [never_answers, answers_500, gigabyte, drips_its_head], ids=name_of)
def test_the_training_thread_spends_next_to_nothing(tiny_run, server, fast, behaviour):
    server.behave = behaviour
    request = ("remote", {"url": server.url, **fast, "drain_seconds": 0.1})
    result = tiny_run([request, Slow(0.01)], steps=100, epochs=1)
    hooks = result.plugin_seconds["remote"]
    training = sum(
        seconds for hook, seconds in hooks.items() if hook not in ("on_run_start", "on_fit_start", "on_run_end")
    )
    assert 0 < training < 0.02 * result.elapsed_seconds


def test_a_ctrl_c_while_the_last_rows_are_delivered_ends_the_thread(server, tmp_path):
    server.behave = answers_500
    config = Remote.Config(url=server.url, drain_seconds=30)
    outbox = Outbox(tmp_path / "remote" / "remote", config, name="n", instance="remote", url=server.url)
    outbox.open(anew=True, resumed_at=None)
    outbox.put("train", (Place(1, 0), {"a": 1.0}, time.time()))
    server.wait_for(lambda: server.requests)
    began = time.monotonic()
    timer = threading.Timer(0.3, signal.raise_signal, [signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        outbox.close()
    timer.join()
    assert time.monotonic() - began < 3
    assert not [each for each in threading.enumerate() if each.name == "hookloop-remote" and each.is_alive()]
