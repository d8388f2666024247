"""Runs that are killed and go on, and directories that are used again: no row is missing and none comes twice."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hookloop.testing.tiny import only, tiny_engine
from hookloop_remote import Spool

TRAINING = Path(__file__).with_name("remote_training.py")
ANSWER_500 = b"HTTP/1.1 500 no\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture(scope="module")
def trainings():
    """A process that trains in children of its own, as importing torch takes longer than all of them."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HOOKLOOP")}
    variables = {**kept, "HOOKLOOP_PLUGINS": "remote,saves,kills-itself", "OMP_NUM_THREADS": "1"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, str(TRAINING)], env=variables, **pipes) as process:
        yield process
        process.stdin.close()


@pytest.fixture
def train(trainings):
    """A function that trains in a process of its own, and returns whether that was not killed."""

    def call(run_dir, url, *, every="-", hook="-", step=0, loading="list"):
        trainings.stdin.write(json.dumps([str(run_dir), url, every, hook, str(step), loading]) + "\n")
        trainings.stdin.flush()
        code = int(trainings.stdout.readline())
        assert code in (0, -signal.SIGKILL)
        return code == 0

    return call


def content(rows):
    return [(row["step"], row["epoch"], row["metrics"]) for row in rows]


def arrived(server, kills):
    """Return what arrived, each id once; a row whose answer a kill cut off came twice, and is known by its id."""
    rows = {row["id"]: row for row in server.rows}
    assert len(server.rows) - len(rows) <= kills
    assert all(rows[row["id"]]["metrics"] == row["metrics"] for row in server.rows)
    return content(rows.values())


def whole(run_dir):
    """What metrics.jsonl says, which the engine keeps exact."""
    rows = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [(row.pop("step"), row.pop("epoch"), row) for row in rows if row.pop("time")]


@pytest.mark.parametrize(("hook", "step"), [("on_step_start", 8), ("persist", 6), ("persist", 9), ("on_metrics", 9)])
def test_killed_and_resumed_every_row_arrives_and_none_twice(train, tmp_path, server, hook, step):
    assert not train(tmp_path / "run", server.url, hook=hook, step=step)
    assert train(tmp_path / "run", server.url)
    assert arrived(server, 1) == whole(tmp_path / "run")
    assert len(server.ids) == 15


def test_killed_before_the_first_snapshot_it_starts_again_with_the_same_ids(train, tmp_path, server):
    assert not train(tmp_path / "run", server.url, hook="on_step_start", step=2)
    train(tmp_path / "run", server.url)
    assert arrived(server, 1) == whole(tmp_path / "run")
    assert len(server.ids) == 15


@pytest.mark.parametrize(("hook", "step"), [("on_step_start", 8), ("persist", 9)])
def test_killed_while_the_server_is_away_the_resumed_run_delivers_all_of_it(train, tmp_path, server, hook, step):
    server.behave = lambda exchange: exchange.answer(ANSWER_500, taken=False)
    train(tmp_path / "run", server.url, hook=hook, step=step, loading="workers")
    assert server.rows == []
    server.behave = lambda exchange: exchange.answer()
    train(tmp_path / "run", server.url, loading="workers")
    assert arrived(server, 1) == whole(tmp_path / "run")
    assert len(server.ids) == 15


@pytest.mark.parametrize("every", ["2 steps", "1 epoch", "5 steps"])
def test_with_an_interval_as_well(train, tmp_path, server, make_server, every):
    other = make_server()
    train(tmp_path / "whole", other.url, every=every)
    for step in (4, 7):
        train(tmp_path / "run", server.url, every=every, hook="on_step_start", step=step)
    train(tmp_path / "run", server.url, every=every)
    assert arrived(server, 2) == content(other.rows)


def test_a_row_whose_values_differ_the_second_time_is_sent_again_with_its_id(
    tiny_run, server, fast, tmp_path, failing_plugin
):
    request = ("remote", {"url": server.url, **fast})
    with pytest.raises(Exception, match="boom"):
        tiny_run([request, failing_plugin("on_step_end", at_step=5)], run_dir=tmp_path / "run")
    engine = tiny_engine([request], epochs=2, steps=3, seed=5, task=None, keywords={"run_dir": tmp_path / "run"})
    with only([request]):
        engine.fit(resume=True)
    assert len(server.rows) == 5 + 8
    assert len(server.ids) == 8


def test_a_refused_row_that_is_made_again_is_not_taken_for_a_delivered_one(
    tiny_run, server, fast, tmp_path, failing_plugin
):
    server.behave = lambda exchange: exchange.answer(ANSWER_500.replace(b"500", b"403"), taken=False)
    request = ("remote", {"url": server.url, **fast, "retries": 1})
    with pytest.raises(Exception, match="boom"):
        tiny_run([request, failing_plugin("on_step_end", at_step=5)], run_dir=tmp_path / "run")
    server.behave = lambda exchange: exchange.answer()
    engine = tiny_engine([request], epochs=2, steps=3, seed=0, task=None, keywords={"run_dir": tmp_path / "run"})
    with only([request]):
        engine.fit(resume=True)
    assert len(server.ids) == len(server.rows) == 8


def test_a_run_that_replaces_another_delivers_its_rows_under_their_own_run(tiny_run, server, fast, tmp_path):
    server.behave = lambda exchange: exchange.answer(ANSWER_500, taken=False)
    request = ("remote", {"url": server.url, **fast, "drain_seconds": 0.1})
    tiny_run([request], run_dir=tmp_path / "run")
    server.behave = lambda exchange: exchange.answer()
    tiny_run([("remote", {"url": server.url, **fast})], run_dir=tmp_path / "run", overwrite=True)
    first, second = {row["run"] for row in server.rows[:8]}, {row["run"] for row in server.rows[8:]}
    assert len(first) == len(second) == 1
    assert first != second
    assert len(server.ids) == len(server.rows) == 16


def test_a_queue_that_cannot_be_made_is_said_once_and_training_goes_on(tiny_run, server, fast, tmp_path, caplog):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "remote").write_text("in the way")
    result = tiny_run([("remote", {"url": server.url, **fast})], run_dir=tmp_path / "run")
    assert result.outcome == "completed"
    assert server.requests == []
    assert [record.message.partition(":")[0] for record in caplog.records] == ["remote", "remote"]
    assert "No row is sent" in caplog.text
    assert "8 dropped" in caplog.text


def test_rows_beyond_the_limit_are_dropped_and_counted_in_rows_and_at_the_end(tiny_run, server, fast, tmp_path, caplog):
    server.behave = lambda exchange: exchange.answer(ANSWER_500, taken=False)
    options = {"url": server.url, **fast, "spool_limit_bytes": 1000, "drain_seconds": 0.1}
    tiny_run([("remote", options)], run_dir=tmp_path / "run", steps=20)
    assert caplog.text.count("queue is full") == 1
    assert "dropped" in caplog.records[-1].message
    assert sum(path.stat().st_size for path in (tmp_path / "run" / "remote").rglob("*.jsonl")) <= 1000


def test_a_disk_that_is_full_is_said_once_and_training_goes_on(tiny_run, server, fast, monkeypatch, caplog):
    def full(self, *lines):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Spool, "append", full)
    result = tiny_run([("remote", {"url": server.url, **fast})])
    assert result.outcome == "completed"
    assert caplog.text.count("No space left on device") == 1
    assert "8 dropped" in caplog.text
