import logging
import subprocess
import sys

from hookloop.cli.logs import Formatter
from hookloop.cli.main import run
from hookloop.cli.output import facts, table


def test_columns_are_aligned_and_the_last_is_wrapped():
    text = table(("name", "meaning"), [("a", "word " * 30), ("long-name", "one\ntwo")])
    lines = text.splitlines()
    assert lines[0] == "name       meaning"
    assert lines[1].startswith("a          word word")
    assert lines[2].startswith("           word")
    assert lines[-2:] == ["long-name  one", "           two"]
    assert max(map(len, lines)) <= 80


def test_a_path_is_never_broken():
    path = "/" + "x" * 120
    assert path in facts([("run directory", path)])


def test_an_empty_fact_is_left_out():
    assert facts([("a", "1"), ("b", ""), ("ccc", "2")]) == "a    1\nccc  2"


def test_a_pipe_that_breaks_elsewhere_is_an_error_like_any_other(here, files):
    (files / "task.py").write_text("def build():\n    raise BrokenPipeError('of a socket')\n")
    answer = here("fit", "run.toml")
    assert answer.code == 1
    assert "BrokenPipeError: of a socket" in answer.err


def test_an_interruption_outside_of_a_run_is_130(monkeypatch, capsys):
    def interrupt(words):
        raise KeyboardInterrupt

    monkeypatch.setattr("hookloop.cli.main.make_app", interrupt)
    assert run(["plugins"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


SPAMMING = """
from hookloop import hookimpl

class Spamming:
    @hookimpl
    def add_commands(self, app):
        @app.command
        def spam():
            while True:
                print("spam")
"""


def test_a_plugins_command_that_prints_into_a_closed_pipe_ends_silently(files):
    (files / "spamming.py").write_text(SPAMMING)
    # The reader reads one line and goes away.
    command = f"{sys.executable} -m hookloop -p spamming.py spam | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=files, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "spam\n", "")


def test_a_log_line_is_the_message_after_its_level_and_rank():
    def line(rank, level):
        return Formatter(rank).format(logging.LogRecord("hookloop", level, "", 0, "said %s", ("so",), None))

    assert line(0, logging.INFO) == "said so"
    assert line(0, logging.WARNING) == "warning: said so"
    assert line(2, logging.ERROR) == "[rank 2] error: said so"
