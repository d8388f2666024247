"""Commands as real processes."""

import os
import sys
import time
from pathlib import Path

import pytest

from hookloop_notify.channel import Message, Unsent
from hookloop_notify.command import Program
from hookloop_notify.options import Command

MESSAGE = Message({"outcome": "failed", "traceback": "a\nb"}, {"val/loss": "0.25"}, "; rm -rf $HOME", "größer\n")


def soon(seconds=20.0):
    limit = time.monotonic() + seconds
    return lambda: limit


def run(code, *args, seconds=20.0, message=MESSAGE):
    options = Command.model_validate({"args": [sys.executable, "-c", code, *args]})
    Program(options).send(message, soon(seconds))


def test_the_message_comes_by_standard_input_arguments_and_environment(tmp_path):
    code = (
        "import os, pathlib, sys; pathlib.Path(sys.argv[1]).write_text(repr((sys.stdin.buffer.read().decode(), "
        "sys.argv[2:], os.environ['HOOKLOOP_NOTIFY_OUTCOME'], os.environ['HOOKLOOP_NOTIFY_TRACEBACK'])))"
    )
    path = tmp_path / "told"
    run(code, str(path), "{subject}", "{metric:val/loss} {{}}")
    text, args, outcome, traceback = eval(path.read_text())
    assert text == "; rm -rf $HOME\n\ngrößer\n"
    assert args == ["; rm -rf $HOME", "0.25 {}"]
    assert outcome == "failed"
    assert traceback == "a\nb"


def test_one_that_reads_nothing_does_not_hang_on_a_long_message():
    run("pass", message=Message({}, {}, "s", "x" * 1_000_000))


def test_its_output_is_not_that_of_the_run(capfd):
    run("import sys; print('hello'); print('there', file=sys.stderr)")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("raise SystemExit(3)", "it exited with 3"),
        ("import sys; sys.exit('no\\nsuch channel')", "it exited with 1: such channel"),
        ("import os; os.kill(os.getpid(), 9)", "it was killed by signal 9"),
    ],
)
def test_one_that_fails_is_told_by_its_last_line_and_not_run_again(code, why):
    with pytest.raises(Unsent) as caught:
        run(code)
    assert str(caught.value) == why
    assert not caught.value.transient


def test_one_that_cannot_be_started_is_told(tmp_path):
    program = tmp_path / "tool"
    program.write_text("#!/no/such/interpreter\n")
    program.chmod(0o755)
    options = Command.model_validate({"args": [str(program)]})
    with pytest.raises(Unsent, match="it could not be started"):
        Program(options).send(MESSAGE, soon())


def test_one_that_hangs_is_killed_with_its_children(tmp_path):
    code = (
        "import os, pathlib, subprocess, sys, time; child = subprocess.Popen(['sleep', '600']);"
        "pathlib.Path(sys.argv[1]).write_text('%d %d' % (os.getpid(), child.pid)); time.sleep(600)"
    )
    path = tmp_path / "pids"
    begun = time.monotonic()
    with pytest.raises(Unsent, match="it did not end in time, and was killed"):
        run(code, str(path), seconds=1.5)
    assert time.monotonic() - begun < 10
    deadline = time.monotonic() + 5
    pids = [int(each) for each in path.read_text().split()]
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [pid for pid in pids if alive(pid)] == []


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_the_time_that_is_left_may_become_less_while_it_runs():
    limits = iter([time.monotonic() + 600, time.monotonic() + 600])
    options = Command.model_validate({"args": ["sleep", "600"]})
    begun = time.monotonic()
    with pytest.raises(Unsent, match="killed"):
        Program(options).send(MESSAGE, lambda: next(limits, 0.0))
    assert time.monotonic() - begun < 5


def test_the_variables_are_none_of_the_engines():
    engines = {"HOOKLOOP_PLUGINS", "HOOKLOOP_DISABLE_PLUGINS", "HOOKLOOP_TRACEBACK"}
    from hookloop_notify.command import variables

    assert not engines & {*variables(MESSAGE.all_fields)}
    assert os.environ.keys().isdisjoint(variables(MESSAGE.all_fields))
