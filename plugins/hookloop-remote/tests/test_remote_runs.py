"""Runs against a server that does what it should: what arrives, when, and in what form."""

import json
import math
from urllib.parse import parse_qs

import pytest

from hookloop import ConfigError, hookimpl


class LogsOddNumbers:
    """Logs what JSON has no word for."""

    role = "observer"

    @hookimpl
    def on_step_end(self, run):
        run.log("odd/nan", math.nan)
        run.log("odd/inf", math.inf)
        run.log("odd/low", -math.inf)


def rows_of(result):
    return [json.loads(line) for line in (result.directory / "metrics.jsonl").read_text().splitlines()]


def values(row):
    return {name: value for name, value in row.items() if name not in ("step", "epoch", "time")}


def test_every_boundary_is_a_row_that_says_what_metrics_jsonl_says(tiny_run, server, fast):
    result = tiny_run([("remote", {"url": server.url, **fast}), LogsOddNumbers()], name='5 % "é"')
    expected = rows_of(result)
    assert [row["metrics"] for row in server.rows] == [values(row) for row in expected]
    assert [(row["step"], row["epoch"]) for row in server.rows] == [(row["step"], row["epoch"]) for row in expected]
    first = server.rows[0]
    assert set(first) == {"id", "run", "name", "stage", "step", "epoch", "time", "dropped", "metrics"}
    assert (first["name"], first["stage"], first["dropped"]) == ('5 % "é"', "train", 0)
    assert first["metrics"]["odd/nan"] == "NaN"
    assert first["metrics"]["odd/low"] == "-Infinity"


def test_each_row_has_an_id_in_the_body_and_in_a_header(tiny_run, server, fast):
    tiny_run([("remote", {"url": server.url, **fast})])
    ids = [row["id"] for row in server.rows]
    assert len(ids) == len(set(ids)) == 8
    assert [each["headers"]["Idempotency-Key"] for each in server.requests] == ids
    assert {row["run"] for row in server.rows} == {ids[0].partition(":")[0]}
    assert server.requests[0]["line"] == "POST /rows HTTP/1.1"
    assert server.requests[0]["headers"]["Content-Type"] == "application/json"


def test_one_connection_is_kept(tiny_run, server, fast):
    tiny_run([("remote", {"url": server.url, **fast})])
    assert server.connections == 1


@pytest.mark.parametrize(
    ("every", "places"),
    [
        ("2 steps", [(2, 0), (4, 1), (6, 1)]),
        ("1 epoch", [(3, 1), (6, 2)]),
        ("1 step", [(s, s // 4) for s in range(1, 7)]),
    ],
)
def test_every_says_how_often(tiny_run, server, fast, every, places):
    tiny_run([("remote", {"url": server.url, "every": every, **fast})])
    assert [(row["step"], row["epoch"]) for row in server.rows][: len(places)] == places


def test_a_row_has_the_newest_values_since_the_last(tiny_run, server, fast):
    result = tiny_run([("remote", {"url": server.url, "every": "1 epoch", **fast})])
    logged = rows_of(result)
    whole = {}
    for row in logged:
        if row["step"] <= 3:
            whole |= values(row)
    assert server.rows[0]["metrics"] == whole


def test_patterns_choose_metrics(tiny_run, server, fast):
    options = {"url": server.url, "include": ["val/*", "train/loss"], "exclude": ["train/*"], **fast}
    tiny_run([("remote", options)])
    assert {name for row in server.rows for name in row["metrics"]} == {"val/loss"}
    assert len(server.rows) == 2


def test_a_form_has_the_row_in_a_field(tiny_run, server, fast):
    tiny_run([("remote", {"url": server.url, "format": "form", "field": "it", **fast})])
    first = server.requests[0]
    assert first["headers"]["Content-Type"] == "application/x-www-form-urlencoded"
    (text,) = parse_qs(first["body"].decode())["it"]
    assert json.loads(text)["id"] == first["headers"]["Idempotency-Key"]


def test_the_layout_of_keras_counts_epochs_from_0_beside_the_metrics(tiny_run, server, fast):
    tiny_run([("remote", {"url": server.url, "layout": "keras", **fast})])
    bodies = [json.loads(each["body"]) for each in server.requests]
    assert [body["epoch"] for body in bodies] == [0, 1]
    assert all(isinstance(body["val/loss"], float) and "id" not in body for body in bodies)
    assert server.requests[0]["headers"]["Idempotency-Key"]


def test_headers_and_the_token_come_from_the_environment_and_stay_out_of_every_file(
    tiny_run, server, fast, monkeypatch, caplog
):
    import hookloop

    monkeypatch.setenv("REMOTE_TOKEN", "s3cret-token")
    monkeypatch.setenv("REMOTE_KEY", "s3cret-key")
    options = {"url": server.url, "bearer_token": {"env": "REMOTE_TOKEN"}, "headers": {"X-Mine": {"env": "REMOTE_KEY"}}}
    server.behave = lambda exchange: exchange.answer(b"HTTP/1.1 400 s3cret-key\r\nContent-Length: 0\r\n\r\n", False)
    result = tiny_run([("remote", {**options, **fast, "retries": 0})])
    headers = server.requests[0]["headers"]
    assert (headers["Authorization"], headers["X-Mine"]) == ("Bearer s3cret-token", "s3cret-key")
    texts = [path.read_bytes() for path in result.directory.rglob("*") if path.is_file()]
    assert not [text for text in texts if b"s3cret" in text]
    assert "s3cret" not in caplog.text
    assert "refuses" in caplog.text
    from hookloop_remote import Remote

    assert "s3cret" not in repr(Remote.Config(headers={"A": "s3cret"}, bearer_token="s3cret", url="http://a:s3cret@b/"))
    assert hookloop.__version__


def test_a_password_in_the_url_is_sent_and_never_shown(tiny_run, server, fast, caplog, monkeypatch):
    monkeypatch.setenv("REMOTE_URL", server.url.replace("//", "//me:s3cret@") + "?key=s3cret")
    server.behave = lambda exchange: exchange.answer(b"HTTP/1.1 500 no\r\nContent-Length: 0\r\n\r\n", False)
    tiny_run([("remote", {"url": {"env": "REMOTE_URL"}, **fast, "drain_seconds": 0.3})])
    assert server.requests[0]["headers"]["Authorization"] == "Basic bWU6czNjcmV0"
    assert server.requests[0]["line"] == "POST /rows?key=s3cret HTTP/1.1"
    assert "8 kept" in caplog.text
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "ftp://a/b"}, "http or https"),
        ({"url": "http://host:99999/"}, "port"),
        ({"url": "http://host/ä"}, "%XX"),
        ({"headers": {"Bad Name": "x"}}, "cannot be the name of a header"),
        ({"headers": {"Host": "x"}}, "plugin's own"),
        ({"headers": {"X": "one\r\nY: two"}}, "one line"),
        ({"layout": "keras", "every": "5 steps"}, "counts epochs"),
        ({"format": "xml"}, "json"),
        ({"ca_file": "/nowhere.pem"}, "ca_file = '/nowhere.pem' cannot be read"),
    ],
)
def test_wrong_options_are_errors_before_the_first_step(tiny_run, options, message):
    with pytest.raises(Exception, match=message) as caught:
        tiny_run([("remote", options)])
    assert isinstance(caught.value, ConfigError) or "ca_file" in options


def test_an_evaluation_sends_its_row(tiny_run, server, fast):
    tiny_run([("remote", {"url": server.url, **fast})], commands=("fit", "validate", "test"))
    *_, validated, tested = server.rows
    assert (validated["stage"], tested["stage"]) == ("validate", "test")
    assert "val/loss" in validated["metrics"]
    assert "test/loss" in tested["metrics"]
    assert len({row["id"] for row in server.rows}) == len(server.rows)


def test_two_evaluations_of_one_step_are_two_rows(tiny_run, server, fast):
    tiny_run([("remote", {"url": server.url, **fast})], commands=("fit", "test", "test"))
    assert len({row["id"] for row in server.rows if row["stage"] == "test"}) == 2


def test_two_instances_send_to_two_servers(tiny_run, server, make_server, fast):
    other = make_server()
    second = {"use": "remote", "url": other.url, "every": "1 epoch", **fast}
    tiny_run([("remote", {"url": server.url, **fast}), ("second", second)])
    assert (len(server.rows), len(other.rows)) == (8, 2)


def test_only_rank_0_sends(tiny_run, server, fast):
    class SecondRank:
        before = ("remote",)

        @hookimpl
        def on_run_start(self, run):
            run.rank = 1

    result = tiny_run([("remote", {"url": server.url, **fast}), SecondRank()])
    assert server.requests == []
    assert not (result.directory / "remote").exists()


def test_an_instance_serves_two_runs_with_ids_of_their_own(tiny_run, server, fast):
    from hookloop_remote import Remote

    plugin = Remote(Remote.Config(url=server.url, **fast))
    tiny_run([plugin])
    tiny_run([plugin])
    assert len(server.ids) == 16
    assert len({row["run"] for row in server.rows}) == 2


def test_a_run_that_fails_still_delivers_what_it_has(tiny_run, server, fast, failing_plugin):
    with pytest.raises(Exception, match="boom"):
        tiny_run([("remote", {"url": server.url, **fast}), failing_plugin("on_step_end", at_step=3)])
    assert [row["step"] for row in server.rows] == [1, 2]
