import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from hookloop.errors import ConfigError
from hookloop.hookspecs import SPECIFICATIONS
from hookloop.json_rows import to_json
from hookloop.manager import PluginManager
from hookloop.records import Records, drop_torn_line, holds_run, make_directory, new_directory, read_metrics
from hookloop.row_log import RowLog

NAN, INF = float("nan"), float("inf")


def at(step, epoch=0):
    return SimpleNamespace(step=step, epoch=epoch, history=[])


def rows_of(directory, **options):
    """Return what takes the rows of a run in *directory* that has no plugins."""
    return RowLog(Records(directory, **options), PluginManager(SPECIFICATIONS))


def make(tmp_path, run_dir=None, *, overwrite=False, resume=False):
    return make_directory(tmp_path / "runs", "digits", run_dir, overwrite=overwrite, resume=resume)


def in_another_process(script, *arguments, **options):
    """Start a Python process that runs *script*, in which ``sys.argv`` has the arguments."""
    return subprocess.Popen([sys.executable, "-c", script, *map(str, arguments)], **options)


# The directory.


def test_a_run_gets_a_directory_of_its_own_under_its_name(tmp_path):
    before = time.strftime("%Y%m%d-%H%M%S")
    directory = make(tmp_path)
    assert directory.is_dir()
    assert directory.parent == tmp_path / "runs" / "digits"
    assert before <= directory.name <= time.strftime("%Y%m%d-%H%M%S")


def test_latest_points_at_the_newest_and_still_does_when_the_runs_are_moved(tmp_path):
    first, second = make(tmp_path), make(tmp_path)
    latest = tmp_path / "runs" / "digits" / "latest"
    assert first != second
    assert latest.is_symlink()
    assert latest.resolve() == second
    (tmp_path / "runs").rename(tmp_path / "moved")
    assert (tmp_path / "moved/digits/latest").resolve() == tmp_path / "moved/digits" / second.name


def test_directories_sort_by_the_order_in_which_they_were_made(tmp_path):
    made = [new_directory(tmp_path) for _ in range(15)]
    assert sorted(made) == made


def test_threads_that_start_together_get_different_directories(tmp_path):
    barrier = threading.Barrier(8)

    def start(_):
        barrier.wait()
        return [make(tmp_path) for _ in range(5)]

    with ThreadPoolExecutor(8) as pool:
        made = [directory for each in pool.map(start, range(8)) for directory in each]
    assert len(set(made)) == 40
    assert left_in(tmp_path / "runs" / "digits") == sorted([*(each.name for each in made), "latest"])


def left_in(folder):
    return sorted(each.name for each in folder.iterdir())


START = """
import sys
from pathlib import Path
from hookloop.records import new_directory
print("ready", flush=True)
sys.stdin.readline()
print(*(new_directory(Path(sys.argv[1])).name for _ in range(20)), sep="\\n")
"""


def test_processes_that_start_together_get_different_directories(tmp_path):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [in_another_process(START, tmp_path, **pipes) for _ in range(2)]
    for each in processes:
        assert each.stdout.readline() == "ready\n"
    for each in processes:
        each.stdin.write("go\n")
        each.stdin.flush()
    made = [name for each in processes for name in each.communicate()[0].split()]
    assert [each.returncode for each in processes] == [0, 0]
    assert len(set(made)) == 40
    assert left_in(tmp_path) == sorted([*made, "latest"])
    assert (tmp_path / "latest").resolve().name in made


def test_a_folder_that_is_called_latest_does_not_keep_a_run_from_starting(tmp_path, caplog):
    (tmp_path / "latest" / "mine").mkdir(parents=True)
    directory = new_directory(tmp_path)
    assert left_in(tmp_path) == [directory.name, "latest"]
    assert (tmp_path / "latest" / "mine").is_dir()
    assert f"{tmp_path / 'latest'} cannot be pointed at the new run" in caplog.text


def test_where_there_are_no_links_latest_is_a_file_with_the_name(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError("no links on this file system")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    new_directory(tmp_path)
    directory = new_directory(tmp_path)
    assert (tmp_path / "latest").read_text() == f"{directory.name}\n"


def test_a_named_directory_is_made_with_its_parents(tmp_path):
    place = tmp_path / "a" / "b"
    assert make(tmp_path, place) == place
    assert place.is_dir()
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", ["config.toml", "run.json", "metrics.jsonl"])
def test_a_directory_that_holds_a_run_is_refused_unless_told_otherwise(tmp_path, name):
    (tmp_path / name).write_text("old")
    (tmp_path / "notes.txt").write_text("mine")
    assert holds_run(tmp_path)
    with pytest.raises(ConfigError, match=r"holds a run already\..*--overwrite.*--run-dir"):
        make(tmp_path, tmp_path)
    assert make(tmp_path, tmp_path, resume=True) == tmp_path
    assert (tmp_path / name).read_text() == "old"
    assert make(tmp_path, tmp_path, overwrite=True) == tmp_path
    assert left_in(tmp_path) == ["notes.txt"]


def test_resuming_overwrites_nothing_even_when_both_are_asked_for(tmp_path):
    (tmp_path / "run.json").write_text("old")
    make(tmp_path, tmp_path, overwrite=True, resume=True)
    assert (tmp_path / "run.json").read_text() == "old"


def test_a_directory_with_other_things_in_it_may_be_used(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    assert not holds_run(tmp_path)
    assert make(tmp_path, tmp_path) == tmp_path


def test_a_directory_that_cannot_be_made_is_a_message_that_names_it(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"file/run cannot be made: .*Choose another with --run-dir"):
        make(tmp_path, tmp_path / "file" / "run")
    with pytest.raises(ConfigError, match="file cannot be made"):
        make(tmp_path, tmp_path / "file")
    with pytest.raises(ConfigError, match="file/digits cannot be made"):
        make_directory(tmp_path / "file", "digits", None, overwrite=False, resume=False)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_cannot_be_written_is_a_message_that_names_it(tmp_path):
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(ConfigError, match=f"{tmp_path} cannot be made: .*Permission denied"):
            make(tmp_path, tmp_path)
    finally:
        tmp_path.chmod(0o755)


# The metrics.


def test_a_row_is_one_line_with_step_epoch_time_and_the_metrics(tmp_path):
    before = time.time()
    rows = rows_of(tmp_path)
    rows.add(at(10), {"train/loss": 0.1})
    run = at(20, 1)
    rows.add(run, {"train/loss": 1e-320, "val/f1": 1.0})
    rows.close()
    first, second = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    assert before <= first.pop("time") <= second.pop("time") <= time.time()
    assert first == {"step": 10, "epoch": 0, "train/loss": 0.1}
    assert second == {"step": 20, "epoch": 1, "train/loss": 1e-320, "val/f1": 1.0}
    assert read_metrics(tmp_path / "metrics.jsonl")[1:] == run.history


def test_what_json_has_no_word_for_is_written_as_text_and_read_back(tmp_path):
    log = rows_of(tmp_path)
    log.add(at(1), {"a": NAN, "b": INF, "c": -INF, "d": 0.5})
    log.close()
    line = (tmp_path / "metrics.jsonl").read_text()
    row = json.loads(line, parse_constant=pytest.fail)
    assert (row["a"], row["b"], row["c"], row["d"]) == ("NaN", "Infinity", "-Infinity", 0.5)
    (back,) = read_metrics(tmp_path / "metrics.jsonl")
    assert repr([back[name] for name in "abcd"]) == "[nan, inf, -inf, 0.5]"


def test_a_row_is_read_as_it_was_written_whatever_its_names_and_those_of_the_row_before(tmp_path):
    rows = [
        {"100 %d": 0.1, 'a "b"\\n': -0.0, "é%": 1e22},
        {"100 %d": 1 / 3, 'a "b"\\n': 5e-324, "é%": 1.7976931348623157e308},
        {"100 %d": 1e308, 'a "b"\\n': 1e308, "é%": 2.0},
        {"é%": 2.0, "100 %d": 1e308},
        {},
        {"é%": NAN, "100 %d": 0.5},
        {"é%": 3.0, "100 %d": 0.5},
    ]
    log, run = rows_of(tmp_path), at(7)
    for row in rows:
        log.add(run, row)
    log.close()
    lines = (tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert repr([json.loads(line) for line in lines]) == repr(to_json(run.history))


def test_rows_are_appended_to_those_of_an_earlier_process(tmp_path):
    for step in (1, 2):
        log = rows_of(tmp_path)
        log.add(at(step), {"x": 0.0})
        log.close()
        log.close()
    assert [row["step"] for row in read_metrics(tmp_path / "metrics.jsonl")] == [1, 2]


@pytest.mark.parametrize("torn", ['{"step": 2, "ep', '{"step": 2}', "\0\0\0\0", "ü"])
def test_a_torn_last_line_is_not_read_and_cut_off_before_the_next_is_written(tmp_path, caplog, torn):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n' + torn.encode()[:-1])
    assert read_metrics(path) == [{"step": 1}]
    log = rows_of(tmp_path)
    log.add(at(3), {"x": 0.5})
    log.close()
    assert [row["step"] for row in read_metrics(path)] == [1, 3]
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("hookloop", logging.WARNING)
    assert record.getMessage() == f"{path} ended in the middle of a line: the line is dropped"


def test_a_file_that_is_one_torn_line_is_emptied_and_a_whole_one_is_left_alone(tmp_path, caplog):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"st')
    assert read_metrics(path) == []
    drop_torn_line(path)
    assert path.read_bytes() == b""
    path.write_text('{"step": 1}\n')
    caplog.clear()
    drop_torn_line(path)
    drop_torn_line(tmp_path / "absent")
    assert path.read_text() == '{"step": 1}\n'
    assert caplog.records == []


def test_another_rank_keeps_the_history_and_writes_nothing(tmp_path):
    records = Records(tmp_path, writes=False)
    records.write_config("a = 1\n")
    records.write_record(seed=7)
    run = at(1)
    log = RowLog(records, PluginManager(SPECIFICATIONS))
    log.add(run, {"x": 0.5})
    log.close()
    assert left_in(tmp_path) == []
    assert [row["x"] for row in run.history] == [0.5]


# The record.


def test_facts_are_added_to_the_record(tmp_path):
    records = Records(tmp_path)
    records.write_record(seed=7, outcome=None)
    assert json.loads((tmp_path / "run.json").read_text()) == {"seed": 7, "outcome": None}
    records.write_record(outcome="completed", metrics={"val/loss": NAN})
    records.write_config("[run]\n")
    assert json.loads((tmp_path / "run.json").read_text()) == {
        "seed": 7,
        "outcome": "completed",
        "metrics": {"val/loss": "NaN"},
    }
    assert (tmp_path / "config.toml").read_text() == "[run]\n"
    assert left_in(tmp_path) == ["config.toml", "run.json"]


def test_anything_becomes_json():
    values = {1: (Path("a"), {"b"}, None, True, 3, "é"), "n": np.float64(0.5), "o": object, "nested": [[INF]]}
    back = json.loads(json.dumps(to_json(values), allow_nan=False))
    assert back == {"1": ["a", ["b"], None, True, 3, "é"], "n": 0.5, "o": str(object), "nested": [["Infinity"]]}


# Killed at any instant.

WRITE = """
import sys
from pathlib import Path
from types import SimpleNamespace
from hookloop.hookspecs import SPECIFICATIONS
from hookloop.manager import PluginManager
from hookloop.records import Records
from hookloop.row_log import RowLog
records = Records(Path(sys.argv[1]))
log = RowLog(records, PluginManager(SPECIFICATIONS))
step = 0
while True:
    step += 1
    run = SimpleNamespace(step=step, epoch=0, history=[])
    log.add(run, {f"train/metric-{i}": step / 3 for i in range(20)})
    if step % 50 == 0:
        records.write_record(step=step, padding="x" * 20_000)
    if step == 200:
        log.flush()
        print("going", flush=True)
"""


@pytest.mark.parametrize("seconds", [0.0, 0.013, 0.15, 0.35])
def test_a_process_that_is_killed_leaves_its_rows_in_order_and_a_whole_record(tmp_path, seconds):
    process = in_another_process(WRITE, tmp_path, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "going\n"
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    rows = read_metrics(tmp_path / "metrics.jsonl")
    assert len(rows) >= 200
    assert [row["step"] for row in rows] == list(range(1, len(rows) + 1))
    assert {len(row) for row in rows} == {23}
    record = json.loads((tmp_path / "run.json").read_text())
    assert len(record["padding"]) == 20_000
    assert record["step"] % 50 == 0


FULL = """
import resource, signal, sys, time
from pathlib import Path
from types import SimpleNamespace
from hookloop.errors import HookloopError
from hookloop.hookspecs import SPECIFICATIONS
from hookloop.manager import PluginManager
from hookloop.records import Records
from hookloop.row_log import RowLog
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))
log = RowLog(Records(Path(sys.argv[1])), PluginManager(SPECIFICATIONS))
def write(step):
    log.add(SimpleNamespace(step=step, epoch=0, history=[]), {"train/loss": step / 3})
for step in range(1, 10):
    write(step)
time.sleep(0.5)  # the thread comes first, to a file that is full
try:
    write(10)
except HookloopError as error:
    print(error)
write(11)
log.flush()
log.close()
print("ended")
"""


def test_what_a_thread_cannot_write_is_raised_for_the_next_row_and_once(tmp_path):
    process = in_another_process(FULL, tmp_path, stdout=subprocess.PIPE, text=True)
    out, _ = process.communicate(timeout=60)
    said, ended = out.splitlines()
    assert said.startswith(f"{tmp_path / 'metrics.jsonl'} cannot be written: File too large.")
    assert (ended, process.returncode) == ("ended", 0)
    text = (tmp_path / "metrics.jsonl").read_text()
    assert 200 < len(text) <= 300
    steps = [json.loads(line)["step"] for line in text.splitlines()]
    assert steps == list(range(1, len(steps) + 1))
    assert text.endswith("\n")


def test_whoever_reads_the_record_while_it_is_written_gets_a_whole_one(tmp_path):
    process = in_another_process(WRITE, tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "going\n"
        steps = {json.loads((tmp_path / "run.json").read_text())["step"] for _ in range(500)}
        assert all(step % 50 == 0 for step in steps)
    finally:
        process.kill()
        process.communicate()


def test_the_snapshots_of_a_run_that_is_overwritten_are_kept_where_no_resume_finds_them(tmp_path, caplog):
    run_dir = tmp_path / "x"
    (run_dir / "checkpoints" / "saving" / "step-5").mkdir(parents=True)
    (run_dir / "run.json").write_text("{}")
    make(tmp_path, run_dir, overwrite=True)
    assert not (run_dir / "checkpoints").exists()
    assert (run_dir / ".replaced-checkpoints" / "saving" / "step-5").is_dir()
    assert "are kept in" in caplog.text


def test_a_metric_that_is_called_like_a_counter_does_not_take_its_place(tmp_path):
    run = at(3, epoch=1)
    log = rows_of(tmp_path)
    log.add(run, {"step": 7.0, "time": 8.0, "val/epoch": 9.0})
    log.close()
    (row,) = read_metrics(tmp_path / "metrics.jsonl")
    assert (row["step"], row["epoch"], row["logged/step"], row["logged/time"], row["val/epoch"]) == (3, 1, 7, 8, 9)
    assert row["time"] > 1e9
