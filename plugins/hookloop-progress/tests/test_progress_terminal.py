"""Bars on a real pseudo-terminal: what is on the screen, how many bytes that took, and what is left behind."""

import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

pty = pytest.importorskip("pty", reason="needs a pseudo-terminal")
fcntl = pytest.importorskip("fcntl")
struct, termios = __import__("struct"), __import__("termios")

COLUMNS = 80
HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"

SCRIPT = """
import sys, time, torch
from hookloop import Engine, SupervisedTask, hookimpl

torch.set_num_threads(1)
batch = (torch.randn(8, 4), torch.randn(8, 1))

class Batches:
    def __init__(self, count, seconds):
        self.count, self.seconds = count, seconds
    def __len__(self):
        return self.count
    def __iter__(self):
        for _ in range(self.count):
            time.sleep(self.seconds)
            yield batch

def fit(train, *plugins, options=None, val=None, **run):
    task = SupervisedTask(torch.nn.Linear(4, 1), train, val=val)
    return Engine(
        task, loss="mse", optimizer=("sgd", {"lr": 0.01}), plugins=[("progress", options or {}), *plugins],
        run_dir=sys.argv[1], device="cpu", **run,
    ).fit()
"""


class Screen:
    """As much of a terminal as bars need: the lines that a person would see in the end."""

    def __init__(self, text):
        self.lines, self.row, self.column = [""], 0, 0
        for escape, plain in re.findall(r"(\x1b\[[?\d;]*[A-Za-z])|([^\x1b])", text):
            self.control(escape) if escape else self.put(plain)

    def put(self, character):
        if character == "\n":
            self.row += 1
            self.lines += [""] * (self.row + 1 - len(self.lines))
        elif character == "\r":
            self.column = 0
        else:
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[: self.column] + character + line[self.column + 1 :]
            self.column += 1

    def control(self, escape):
        if escape.endswith("A"):
            self.row -= int(escape[2:-1] or 1)
        elif escape == "\x1b[2K":
            self.lines[self.row] = ""
        else:
            assert escape[-1] in "mhl", f"unexpected {escape!r}"

    @property
    def text(self):
        return "\n".join(line.rstrip() for line in self.lines)


@pytest.fixture
def on_terminal(tmp_path, monkeypatch):
    """Return a function that runs a script here, with a terminal for stdout and stderr, and gives what was written."""

    def run(script, environ=(), encoding="utf-8"):
        for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
            monkeypatch.delenv(name, raising=False)
        for name, value in {"TERM": "xterm-256color", **dict(environ)}.items():
            monkeypatch.setenv(name, value)
        ours, theirs = open_terminal()
        pieces = []
        reader = threading.Thread(target=lambda: pieces.append(read_to_end(ours)))
        reader.start()
        with (
            os.fdopen(theirs, "w", encoding=encoding, errors="backslashreplace") as stream,
            monkeypatch.context() as patch,
        ):
            patch.setattr(sys, "stdout", stream)
            patch.setattr(sys, "stderr", stream)
            patch.setattr(sys, "argv", ["script", str(tmp_path / "run")])
            exec(SCRIPT + script, {"__name__": "script"})
        reader.join()
        return pieces[0]

    return run


def seconds_of(output):
    """Return how long the run took, as the line at its end says."""
    return float(re.search(r" in (\S+) s, ", output).group(1))


def open_terminal():
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    return ours, theirs


def start(script, tmp_path):
    """Start *script* as a process of its own with a terminal; return the process and our end of the terminal."""
    ours, theirs = open_terminal()
    clean = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SCRIPT + script, str(tmp_path / "run")],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**clean, "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"},
        start_new_session=True,
    )
    os.close(theirs)
    return process, ours


def read_to_end(ours):
    """Return all that was written to the terminal; it reads as broken once the other end is closed."""
    pieces = []
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:
            break
        if not piece:
            break
        pieces.append(piece)
    os.close(ours)
    return b"".join(pieces).decode(errors="replace").replace("\r\n", "\n\r")


def read_until(ours, wanted):
    seen = b""
    while wanted not in seen:
        seen += os.read(ours, 65536)
    return seen.decode(errors="replace").replace("\r\n", "\n\r")


def is_left_as_it_was(output):
    return output.rfind(SHOW) >= output.rfind(HIDE)  # neither of them: as it was


def test_a_fit_ends_at_100_percent_with_what_it_came_to_below(on_terminal):
    output = on_terminal("fit(Batches(200, 0), val=Batches(7, 0), max_epochs=10)")
    model, epoch, steps, metrics, last, *tables = Screen(output).text.strip().splitlines()
    assert model == "model  Linear, 5 parameters (5 trainable), 20 B, cpu, fp32"
    assert re.fullmatch(r"epoch 10/10  ━{10,}  100%    200/200", epoch)
    assert re.fullmatch(r"steps        ━{10,}  100%  2000/2000  [\d.]+ it/s  in 00:0\d", steps)
    assert re.fullmatch(r"train/loss=\S+  val/loss=\S+", metrics)
    assert re.fullmatch(r"completed: 2000/2000 steps, 10/10 epochs in \S+ s, \S+ it/s", last)
    assert re.search(r"\nval/loss +\S+ +\S+ at epoch \d+ +\S+ at epoch 1\n", "\n".join(tables))
    assert re.search(r"\nprogress +\S+ m?s +\S+%\n", "\n".join(tables))
    assert tables[-1] == "files      config.toml, metrics.jsonl, run.json"
    assert is_left_as_it_was(output)


def test_two_thousand_steps_take_a_few_kilobytes(on_terminal):
    output = on_terminal("fit(Batches(2000, 0), max_epochs=1, log_every='1 step')")
    assert 200 < len(output.encode()) < 8000


def test_two_thousand_slow_steps_with_all_there_is_to_show_take_less_than_20_kilobytes(on_terminal):
    script = """
class Log:
    @hookimpl
    def on_step_end(self, run):
        run.log("train/accuracy", 1 / run.step)
        run.log("train/another", run.step / 7)

fit(Batches(200, 0.002), Log(), val=Batches(7, 0), max_epochs=10, log_every="1 step")
"""
    output = on_terminal(script)
    # Drawing goes by the clock, so a machine that takes longer over these steps writes more.
    assert len(output.encode()) < 20_000 + 1_600 * max(0, seconds_of(output) - 10)


def test_bars_are_redrawn_at_most_as_often_as_asked(on_terminal):
    output = on_terminal("fit(Batches(100, 0.01), options={'refresh_hz': 2}, max_epochs=1)")
    # The last frame is drawn when the run ends, not when it is due.
    assert 2 <= output.count("steps  ") <= seconds_of(output) * 2 + 2


def test_max_steps_in_mid_epoch_shows_the_real_total(on_terminal):
    output = on_terminal("fit(Batches(5, 0.01), max_steps=7)")
    assert re.search(r"epoch 2/2 .* 100%  2/2\n", Screen(output).text)


def test_a_validation_is_seen_while_it_runs(on_terminal):
    output = on_terminal("fit(Batches(2, 0), val=Batches(40, 0.02), options={'refresh_hz': 10}, max_epochs=1)")
    assert re.search(r"validate .*%.*\d+/40", output)
    assert "validate" not in Screen(output).text


def test_no_row_is_wrapped_at_80_columns(on_terminal, tmp_path):
    script = """
class Log:
    @hookimpl
    def on_step_end(self, run):
        for i in range(30):
            run.log(f"system/metric_number_{i}", i / 7)

fit(Batches(30, 0.01), Log(), val=Batches(3, 0), max_epochs=4, log_every="1 step")
"""
    lines = Screen(on_terminal(script)).text.splitlines()
    assert all(len(line) <= COLUMNS for line in lines if str(tmp_path) not in line)


def test_no_color_is_respected(on_terminal):
    output = on_terminal("fit(Batches(50, 0), max_epochs=1)", {"NO_COLOR": "1"})
    assert not re.search(r"\x1b\[[\d;]*3\dm", output)
    assert "100%" in Screen(output).text


def test_a_dumb_terminal_gets_lines(on_terminal):
    output = on_terminal("fit(Batches(50, 0), options={'style': 'rich'}, max_epochs=1)", {"TERM": "dumb"})
    assert "\x1b" not in output
    model, step, *_ = Screen(output).text.strip().splitlines()
    assert model.startswith("model=Linear ")
    assert step.startswith("step=50/50 epoch=1/1 ")


def test_lines_can_be_asked_for(on_terminal, tmp_path):
    output = on_terminal("fit(Batches(50, 0), options={'style': 'lines'}, max_epochs=1)")
    assert "\x1b" not in output
    assert all(len(line) <= COLUMNS for line in Screen(output).text.splitlines() if str(tmp_path) not in line)


def test_a_terminal_without_unicode_gets_ascii(on_terminal):
    output = on_terminal("fit(Batches(50, 0), max_epochs=1)", encoding="ascii")
    assert re.search(r"steps  #+  100%  50/50", Screen(output).text)


def test_what_others_print_stands_above_the_bars(on_terminal):
    script = """
class Talk:
    @hookimpl
    def on_epoch_end(self, run):
        print("epoch", run.epoch, "is over")
        print("and that was stderr", file=sys.stderr)

fit(Batches(20, 0.01), Talk(), options={"refresh_hz": 10}, max_epochs=2)
"""
    shown = Screen(on_terminal(script)).text.strip().splitlines()
    assert shown[1:5] == ["epoch 1 is over", "and that was stderr", "epoch 2 is over", "and that was stderr"]
    assert [line.split()[0] for line in shown[5:7]] == ["epoch", "steps"]


def test_a_failure_closes_the_bars_before_the_error_is_shown(tmp_path):
    script = """
class Fail:
    @hookimpl
    def on_step_end(self, run):
        if run.step == 30:
            raise ValueError("thirty is enough")

fit(Batches(50, 0.005), Fail(), max_epochs=1)
"""
    process, ours = start(script, tmp_path)
    output = read_to_end(ours)
    assert process.wait(60) == 1
    assert is_left_as_it_was(output)
    shown = Screen(output).text
    assert re.search(r"steps .* 60%  30/50", shown)
    assert shown.index("60%") < shown.index("failed: 30/50 steps, 0/1 epochs") < shown.index("thirty is enough")


@pytest.mark.parametrize("interrupts", [1, 2])
def test_an_interrupt_leaves_the_terminal_as_it_was(tmp_path, interrupts):
    script = """
import threading
try:
    fit(Batches(10000, 0.005), max_epochs=1)
finally:
    print("threads:", threading.active_count())
"""
    process, ours = start(script, tmp_path)
    seen = read_until(ours, b"1%")
    for _ in range(interrupts):
        os.kill(process.pid, signal.SIGINT)
        time.sleep(0.001)
    output = seen + read_to_end(ours)
    process.wait(60)
    assert is_left_as_it_was(output)
    if interrupts == 1:  # the second does not wait, not even for the last line
        assert "interrupted: " in output
    assert "threads: 1\n" in Screen(output).text


@pytest.mark.parametrize("moment", ["rich.live.Live.start", "threading.Thread.start"])
@pytest.mark.parametrize("late", [False, True])
def test_an_interrupt_while_the_bars_begin_leaves_the_terminal_as_it_was(tmp_path, moment, late):
    script = f"""
import os, pkgutil, rich.live, signal, threading

def pressed(*given):
    if {late}:
        begin(*given)
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)
    begin(*given)

kind, name = pkgutil.resolve_name({moment!r}.rpartition(".")[0]), {moment!r}.rpartition(".")[2]
begin = getattr(kind, name)
setattr(kind, name, pressed)
before = sys.stdout, sys.stderr
try:
    fit(Batches(10000, 0.005), max_epochs=1)
finally:
    print("restored:", (sys.stdout, sys.stderr) == before, flush=True)
    print("drawing:", [each.name for each in threading.enumerate() if each.name == "hookloop-progress"])
"""
    process, ours = start(script, tmp_path)
    output = read_to_end(ours)
    process.wait(60)
    assert is_left_as_it_was(output)
    assert "restored: True\n" in Screen(output).text
    if not late:  # else the thread, which nobody knows of, ends in a moment, and draws nothing
        assert "drawing: []\n" in Screen(output).text
    assert "KeyboardInterrupt" in output.rstrip().splitlines()[-1]


def test_the_cursor_is_there_even_after_a_kill(tmp_path):
    process, ours = start("fit(Batches(10000, 0.005), max_epochs=1)", tmp_path)
    seen = read_until(ours, b"1%")
    process.kill()
    process.wait(60)
    assert is_left_as_it_was(seen + read_to_end(ours))


def test_what_goes_to_a_file_is_not_sent_to_the_terminal(on_terminal, tmp_path):
    script = """
class Talk:
    @hookimpl
    def on_epoch_end(self):
        print("in a file")

with open(sys.argv[1] + ".txt", "w") as sys.stdout:
    fit(Batches(50, 0), Talk(), max_epochs=1)
"""
    output = on_terminal(script)
    assert (tmp_path / "run.txt").read_text() == "in a file\n"
    assert "in a file" not in output
    assert "100%" in output
