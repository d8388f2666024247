"""What the delivering costs, TLS, and the parts that decide when and what to try again."""

import json
import logging
import resource
import time

import pytest

from hookloop.loggers import encode_row
from hookloop_remote import Remote
from hookloop_remote.answer import Answer
from hookloop_remote.backoff import Backoff, judge, retry_after
from hookloop_remote.endpoint import Endpoint, parse_url, redirected
from hookloop_remote.outbox import Outbox
from hookloop_remote.poster import Poster
from hookloop_remote.route import Route
from hookloop_remote.rows import Place, Wire
from hookloop_remote.sender import Sender
from hookloop_remote.spool import Spool


@pytest.fixture
def outbox(tmp_path, server):
    """An outbox whose server never answers."""
    server.behave = lambda exchange: server.ended.wait(30)
    config = Remote.Config(url=server.url, timeout_seconds=0.5, drain_seconds=0)
    made = Outbox(tmp_path / "remote" / "remote", config, name="n", instance="remote", url=server.url)
    made.open(anew=True, resumed_at=None)
    yield made
    made.close()


def logged(step):
    return Place(step, 0), {"train/loss": 0.123, "train/accuracy": 0.5, "lr/0": 0.1}, time.time()


def test_of_rows_that_come_together_a_full_disk_keeps_the_first(outbox, caplog):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        outbox.put("train", *(logged(step) for step in range(9)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    (queue,) = outbox.directory.glob("queue-*")
    kept = [json.loads(row)["step"] for path in sorted(queue.glob("*.jsonl")) for row in path.read_bytes().splitlines()]
    assert kept == list(range(len(kept)))
    assert 0 < len(kept) < 9
    assert outbox.dropped == 9 - len(kept)
    assert caplog.text.count("rows cannot be kept") == 1


def test_a_row_costs_the_training_thread_microseconds_while_the_server_hangs(outbox):
    began = time.thread_time()
    for step in range(2000):
        outbox.put("train", logged(step))
    assert (time.thread_time() - began) / 2000 < 100e-6


def test_a_server_that_hangs_costs_next_to_no_cpu_time(outbox):
    outbox.put("train", logged(1))
    began, cpu = time.monotonic(), time.process_time()
    time.sleep(1)
    assert (time.process_time() - cpu) / (time.monotonic() - began) < 0.03


class Busy:
    """Posts by computing for some milliseconds."""

    def __init__(self):
        self.posts = 0

    def post(self, body, headers):
        began = time.thread_time()
        while time.thread_time() - began < 0.002:
            pass
        self.posts += 1
        return Answer(200)

    def close(self):
        pass

    def abort(self):
        pass


def test_the_sender_rests_much_longer_than_it_works_until_the_run_ends(tmp_path):
    spool = Spool(tmp_path, 10**6)
    assert spool.open()
    for number in range(50):
        spool.append(encode_row({"id": str(number), "metrics": {}}))
    busy = Busy()
    sender = Sender(busy, Wire(), [spool], Backoff(1, 0.1, 0.1), drain_seconds=30, name="test")
    sender.start()
    time.sleep(1)
    assert 1 <= busy.posts <= 6
    sender.stop()
    assert busy.posts == 50


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (Answer(200), "taken"),
        (Answer(204), "taken"),
        (Answer(200, whole=False), "broken"),
        (Answer(302), "later"),
        (Answer(303), "later"),
        (Answer(400), "refused"),
        (Answer(401), "refused"),
        (Answer(408), "later"),
        (Answer(429), "later"),
        (Answer(500), "later"),
        (Answer(503), "later"),
    ],
)
def test_what_an_answer_means(answer, verdict):
    assert judge(answer) == verdict


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7), ("0", 0), ("9" * 5000, 60), ("-5", 0), ("soon", 0), ("", 0), ("Fri, 31 Dec 9999 23:59:59 GMT", 60)],
)
def test_retry_after_has_bounds(text, seconds):
    assert retry_after({"retry-after": text}) == seconds


def test_waits_double_up_to_the_longest_give_or_take_a_quarter():
    backoff = Backoff(retries=3, first_seconds=1, max_seconds=10)
    for failures, expected in [(1, 1), (2, 2), (3, 4), (4, 10), (5000, 10)]:
        waits = [backoff.seconds(failures) for _ in range(20)]
        assert 0.75 * expected <= min(waits) < max(waits) <= 1.25 * expected


def test_an_endpoint_shows_no_secret():
    endpoint = parse_url("https://me:s3cret@example.org:8443/a/b?token=s3cret#fragment")
    assert (endpoint.host, endpoint.port, endpoint.path) == ("example.org", 8443, "/a/b?token=s3cret")
    assert endpoint.label == "https://example.org:8443/a/b"
    assert "s3cret" not in repr(endpoint)
    assert endpoint.authorization.startswith("Basic ")
    assert parse_url("http://[::1]:80").authority == "[::1]"


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/b", "http://h/b"),
        ("c", "http://h/c"),
        ("https://h/d", "https://h/d"),
        ("http://h:8080/", "http://h:8080/"),
        ("//other/", None),
        ("http://h.other/", None),
        ("ftp://h/", None),
        ("http://h/\x00", None),
    ],
)
def test_redirects_lead_to_the_same_host_only(location, target):
    found = redirected(parse_url("http://h/a"), location)
    assert found.label == target if isinstance(found, Endpoint) else target is None


def test_a_redirect_does_not_lead_out_of_tls():
    assert redirected(parse_url("https://h/a"), "http://h/a") == "it redirects from https to http"


def test_tls_is_spoken_and_the_certificate_checked(tls_server, tiny_run, fast, caplog):
    server, certificate = tls_server
    url = server.url.replace("http:", "https:")
    patient = {**fast, "timeout_seconds": 10, "drain_seconds": 10}
    tiny_run([("remote", {"url": url, "ca_file": str(certificate), **patient})])
    assert len(server.ids) == 8
    assert server.connections == 1
    caplog.set_level(logging.WARNING)
    tiny_run([("remote", {"url": url, **fast, "drain_seconds": 0.3})])
    assert len(server.ids) == 8
    assert "8 kept" in caplog.text


def test_a_handshake_that_hangs_has_a_deadline_too(server):
    server.serve = lambda connection: server.ended.wait(30)
    poster = Poster(Route(parse_url(server.url.replace("http:", "https:"))), {}, timeout_seconds=0.3)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        poster.post(b"{}", {})
    assert time.monotonic() - began < 2
    poster.close()
