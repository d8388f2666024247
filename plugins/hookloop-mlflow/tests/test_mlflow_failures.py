"""A server that does not answer, an answer that is lost, a database that two runs make at once."""

import logging
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hookloop import hookimpl
from hookloop_mlflow.addresses import without_password
from hookloop_mlflow.database import create
from hookloop_mlflow.library import client_of, quiet
from hookloop_mlflow.points import Point
from hookloop_mlflow.store import Store

SAVER = f"{Path(__file__).with_name('saver.py')}:Saver"

FAST = {"interval_seconds": 0.1}


@pytest.fixture
def silent_server():
    """The address of a server that takes connections and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(50)
        yield f"http://user:hidden-word@127.0.0.1:{server.getsockname()[1]}"


class Clock:
    """Measures how long training takes."""

    role = "observer"

    @hookimpl
    def on_fit_start(self):
        self.began = time.perf_counter()

    @hookimpl
    def on_fit_end(self):
        self.seconds = time.perf_counter() - self.began


def test_training_does_not_wait_for_a_server_and_what_it_lacks_is_sent_later(engine, shown, silent_server, caplog):
    clock = Clock()
    began = time.perf_counter()
    with caplog.at_level(logging.WARNING):
        engine(SAVER, clock, options={"tracking_uri": silent_server, "drain_seconds": 0.5}).fit()
    assert clock.seconds < 5
    assert time.perf_counter() - began < 30
    told = [record.getMessage() for record in caplog.records if record.name == "hookloop.mlflow"]
    assert len(told) == 1
    assert "8 rows of metrics.jsonl and 1 artifacts in mlflow.spool wait" in told[0]
    assert "hidden-word" not in caplog.text + Path("run/mlflow.json").read_text()
    engine(SAVER, max_epochs=3, options={"tracking_uri": "sqlite:///mlflow.db"}).fit(resume=True)
    assert [step for step, _ in shown().history(shown().run(), "train/loss")] == list(range(1, 10))
    assert "config.toml" in shown().artifacts(shown().run())
    assert not Path("run/mlflow.spool").exists()


def test_a_database_that_is_locked_for_a_while_gets_everything(engine, shown):
    holder = sqlite3.connect("mlflow.db", isolation_level=None)

    class Lock:
        @hookimpl
        def on_step_end(self, run):
            if run.step == 1:
                holder.execute("BEGIN EXCLUSIVE")

        @hookimpl
        def on_fit_end(self):
            holder.rollback()
            holder.close()

    engine(Lock()).fit()
    assert len(shown().history(shown().run(), "train/loss")) == 6


def test_a_spool_that_cannot_be_written_is_told_once(engine, shown, caplog):
    class Spoil:
        @hookimpl
        def on_step_end(self, run):
            Path("run/mlflow.spool").touch() if run.step == 1 else None
            run.log_text("note", "x")

    engine(Spoil(), options={"parameters": False}).fit()
    told = [record for record in caplog.records if "is not logged to MLflow" in record.getMessage()]
    assert len(told) == 1
    assert len(shown().history(shown().run(), "train/loss")) == 6


def test_points_that_are_sent_twice_are_there_once(shown):
    store = Store("sqlite:///mlflow.db", "run")
    run_id = store.create_run("one key", "name", {}).info.run_id
    points = [Point("a", float(n), 1000 + n, n) for n in range(1000)]
    store.log_points(run_id, points)
    store.log_points(run_id, points)
    assert len(shown().history(shown().run(), "a")) == 1000
    assert store.create_run("one key", "name", {}).info.run_id == run_id


def test_two_processes_that_make_a_database_at_once_both_get_a_whole_one(tmp_path):
    path = tmp_path / "new" / "mlflow.db"
    code = (
        "import sys; from pathlib import Path; from hookloop_mlflow.library import quiet\n"
        "from hookloop_mlflow.store import Store\n"
        "with quiet(): print(Store(sys.argv[1], 'run').open())"
    )
    command = [sys.executable, "-c", code, f"sqlite:///{path}"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [process.communicate(timeout=200) for process in both]
    assert answers[0] == answers[1] == ("1\n", "")
    assert [each.name for each in path.parent.iterdir()] == ["mlflow.db"]


def test_a_database_that_could_not_be_made_leaves_nothing(tmp_path, monkeypatch):
    def fail(uri):
        Path(uri.removeprefix("sqlite:///")).write_text("half")
        raise RuntimeError("killed")

    monkeypatch.setattr("hookloop_mlflow.database.client_of", fail)
    with pytest.raises(RuntimeError):
        create(tmp_path / "new" / "mlflow.db")
    assert list((tmp_path / "new").iterdir()) == []


def test_passwords_in_addresses_are_hidden():
    text = "API request to https://me:secret@host/api failed, postgresql://u:p%40@db/x"
    assert without_password(text) == "API request to https://***@host/api failed, postgresql://***@db/x"


def test_a_client_keeps_no_connection_open(tmp_path):
    with quiet():
        client = client_of(f"sqlite:///{tmp_path}/mlflow.db")
    client.search_experiments()
    assert not [link for link in Path("/proc/self/fd").glob("*") if str(tmp_path) in str(link.resolve())]
