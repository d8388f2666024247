import os
import subprocess
import sys

import pytest

QUICK = [
    ["--help"],
    ["--version"],
    ["plugins"],
    ["plugins", "list", "--json"],
    ["plugins", "show", "plugins.py:Slow"],
    ["plugins", "new", "lr-log"],
    ["config", "show", "run.toml"],
    ["config", "schema"],
    ["fit", "--help"],
    ["check", "--help"],
    ["hooks", "--help"],
    ["completion", "bash"],
]


@pytest.mark.parametrize("words", QUICK, ids=" ".join)
def test_what_builds_nothing_does_not_import_torch(imported, files, words):
    answer, modules = imported(*words)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out
    assert not {name for name in modules if name.partition(".")[0] in ("torch", "numpy")}


@pytest.mark.parametrize("words", [["--help"], ["plugins"]], ids=" ".join)
def test_help_and_the_list_answer_at_once(tmp_path, words):
    def seconds():
        before = os.times()
        subprocess.run([sys.executable, "-m", "hookloop", *words], cwd=tmp_path, capture_output=True, check=True)
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    # Of the processor, and the best of three: what is measured is the work, not what else the machine is doing.
    assert min(seconds() for _ in range(3)) < 0.5


def test_the_version_is_the_distributions(hookloop):
    from hookloop import __version__

    assert hookloop("--version").out == f"{__version__}\n"


def test_without_words_it_shows_the_help(here):
    answer = here()
    assert answer.code == 0
    assert answer.out.startswith("Usage: hookloop COMMAND")


def test_the_help_knows_the_exit_codes_and_the_completion(here):
    text = " ".join(here("--help").out.split())
    assert "130 interrupted, 143 preempted" in text
    assert "hookloop --install-completion" in text


def test_completion_is_a_script_for_the_shell_that_is_named(here):
    assert "hookloop" in here("completion", "zsh").out
    assert here("completion", "tcsh").code == 2


def test_completion_can_be_installed(hookloop, tmp_path):
    answer = hookloop("--install-completion", "--shell", "fish", "--output", "hookloop.fish", HOME=str(tmp_path))
    assert answer.code == 0
    assert "complete -c hookloop" in (tmp_path / "hookloop.fish").read_text()


@pytest.mark.parametrize("words", [["--help"], ["hooks", "--help"], ["config", "schema"], ["completion", "bash"]])
def test_a_reader_that_goes_away_is_no_error(tmp_path, words):
    # Nobody ever reads: the pipe is broken from the start.
    code = "import os, sys; r, w = os.pipe(); os.close(r); os.dup2(w, 1); os.execv(sys.executable, sys.argv[1:])"
    command = [sys.executable, "-c", code, sys.executable, "-m", "hookloop", *words]
    done = subprocess.run(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode in (0, 1)
