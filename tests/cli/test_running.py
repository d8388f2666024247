import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch

WRONG = """\
[run]
max_epoch = 2
seed = "seven"

[task]
use = "task.py:build"

[plugins.slow]
use = "plugins.py:Slow"
secnds = 1

[plugins.monitr]

[tsk]
"""


def test_fit_trains_and_tells_what_came_of_it(hookloop, files):
    answer = hookloop("fit", "run.toml", "-p", "plugins.py:Slow")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("completed: 2 epochs, 8 steps, 48 samples in ")
    assert "val/accuracy" in answer.out
    assert "on_step_end" in answer.out
    assert max(map(len, answer.out.splitlines())) <= 80
    assert "\x1b" not in answer.out


def test_the_summary_says_how_to_run_it_again(here, files):
    said = here("fit", "run.toml").out.rpartition("again")[2].strip()
    words = shlex.split(said)
    assert words[:2] == ["hookloop", "fit"]
    assert here(*words[1:]).code == 0


def test_a_named_directory_is_run_in_again_with_overwrite(here, files):
    said = here("fit", "run.toml", "--run-dir", "a directory").out.rpartition("again")[2].strip()
    assert said == "hookloop fit 'a directory/config.toml' --overwrite"
    assert here(*shlex.split(said)[1:]).code == 0


def test_json_is_the_one_thing_on_stdout_even_when_the_task_prints(here, files):
    answer = here("fit", "run.toml", "--set", "task.use=task.py:printing", "--json")
    result = answer.json
    assert (answer.code, result["outcome"], result["exit_code"]) == (0, "completed", 0)
    assert (result["epoch"], result["step"], result["samples"]) == (2, 8, 48)
    assert Path(files, result["directory"], "run.json").is_file()
    assert set(result["metrics"]) == {"train/loss", "val/loss", "val/accuracy"}
    assert "a line of the task" in answer.err


def test_quiet_says_nothing_of_a_run_that_went_well(here, files):
    answer = here("fit", "run.toml", "-q")
    assert (answer.code, answer.out, answer.err) == (0, "", "")


def test_a_stop_is_no_failure(here, files):
    answer = here("fit", "run.toml", "-p", "plugins.py:Stopping")
    assert answer.code == 0
    assert answer.out.startswith("stopped (three are enough): 3 steps, 18 samples")


def test_an_error_of_the_task_is_shown_with_the_users_lines_alone(here, files):
    answer = here("fit", "run.toml", "--set", "task.use=task.py:broken")
    assert (answer.code, answer.out) == (1, "")
    assert 'raise ValueError("no such loss")' in answer.err
    assert answer.err.count("  File ") == 1
    assert "HOOKLOOP_TRACEBACK=1 shows them" in answer.err


def test_an_error_of_a_plugin_names_it_below_its_own_traceback(hookloop, files):
    answer = hookloop("fit", "run.toml", "-p", "plugins.py:Failing", "--json")
    assert answer.code == 1
    assert answer.err.count("  File ") == 1
    assert answer.err.count("on_step_end failed at step 1: RuntimeError: out of paper.") == 1
    assert answer.err.strip().endswith("Switch it off with: -p no:failing")
    assert (answer.json["outcome"], answer.json["type"]) == ("failed", "PluginHookError")


def test_a_task_that_leaves_by_sys_exit_has_failed(here, files):
    (files / "task.py").write_text("import sys\ndef build():\n    sys.exit(0)\n")
    answer = here("fit", "run.toml")
    assert (answer.code, answer.err) == (1, f"{files}/task.py:3 ended the run with sys.exit(0).\n")


def test_the_whole_traceback_is_there_for_the_asking(here, files, monkeypatch):
    monkeypatch.setenv("HOOKLOOP_TRACEBACK", "1")
    answer = here("fit", "run.toml", "-p", "plugins.py:Failing")
    assert answer.code == 1
    assert answer.err.count("  File ") > 8
    assert "The above exception was the direct cause" in answer.err


def test_the_summary_repeats_what_was_tolerated(here, files):
    answer = here("fit", "run.toml", "-p", "plugins.py:Failing", "--set", 'plugins.failing.on_error="warn"')
    assert answer.code == 0
    assert "plugin 'failing' failed 8 times: on_step_end at step 1: RuntimeError: out of\n  paper" in answer.out


def test_every_mistake_in_a_file_is_told_at_once_with_its_line(imported, files):
    (files / "wrong.toml").write_text(WRONG)
    answer, modules = imported("fit", "wrong.toml")
    assert (answer.code, answer.out) == (2, "")
    assert [line.split(": ")[:2] for line in answer.err.splitlines()] == [
        ["wrong.toml:2", "run.max_epoch"],
        ["wrong.toml:3", "run.seed"],
        ["wrong.toml:10", "plugins.slow.secnds"],
        ["wrong.toml:12", "plugins.monitr"],
        ["wrong.toml:14", "tsk"],
    ]
    assert "torch" not in modules
    assert not (files / "runs").exists()


def test_problems_are_there_for_scripts(here, files):
    (files / "wrong.toml").write_text(WRONG)
    answer = here("fit", "wrong.toml", "--json").json
    assert (answer["outcome"], answer["exit_code"], len(answer["problems"])) == ("failed", 2, 5)
    assert answer["problems"][0] == {
        "where": "wrong.toml:2",
        "key": "run.max_epoch",
        "message": "unknown option. Did you mean 'max_epochs'?",
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fit"], "no configuration was named: hookloop fit run.toml"),
        (["fit", "rum.toml"], "rum.toml"),
        (["fit", "run.toml", "--set", "run.seed"], "--set: run.seed: has no '='."),
        (["fit", "run.toml", "-p", "no:nothing"], "-p no:nothing: no plugin 'nothing' is installed"),
        (["fit", "run.toml", "--oops"], "hookloop fit: Unknown option: --oops."),
        (["fitt", "run.toml"], 'Did you mean "fit"?'),
        (["test", "run.toml", "--weights", "none.pt"], "--weights none.pt: there is no such file."),
    ],
)
def test_a_mistake_on_the_command_line_is_a_message_and_2(here, files, words, message):
    answer = here(*words)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err
    assert "Traceback" not in answer.err


def test_later_files_and_options_go_over_earlier_ones(here, files):
    (files / "short.toml").write_text("[run]\nmax_epochs = 1\nname = 'short'\n")
    answer = here("fit", "run.toml", "-c", "short.toml", "--set", "run.name=shorter", "--json").json
    assert answer["epoch"] == 1
    assert Path(answer["directory"]).parent == Path("runs/shorter")


def test_a_run_is_never_overwritten_silently(here, files):
    assert here("fit", "run.toml", "--run-dir", "mine", "-q").code == 0
    refused = here("fit", "run.toml", "--run-dir", "mine")
    assert refused.code == 2
    assert refused.err == ("mine holds a run already. Replace it with --overwrite, or choose another with --run-dir.\n")
    assert here("fit", "run.toml", "--run-dir", "mine", "--overwrite", "-q").code == 0


def test_where_a_run_went_is_said_by_the_option_that_sent_it_there(here, files):
    (files / "no-table.toml").write_text("run = 3\n")
    answer = here("fit", "no-table.toml", "--run-dir", "mine")
    assert answer.code == 2
    assert answer.err.startswith("--run-dir: run: a table here, but a value in no-table.toml:1.")


@pytest.mark.parametrize("command", ["validate", "test", "predict"])
def test_an_evaluation_takes_the_weights_that_it_is_given(here, files, command):
    layers = torch.nn.Linear(4, 4), torch.nn.ReLU(), torch.nn.Linear(4, 3)
    torch.save(torch.nn.Sequential(*layers).state_dict(), files / "weights.pt")
    answer = here(command, "run.toml", "--weights", "weights.pt", "--json")
    assert (answer.code, answer.json["outcome"]) == (0, "completed")
    prefix = {"validate": "val/", "test": "test/"}.get(command)
    assert set(answer.json["metrics"]) == ({f"{prefix}loss", f"{prefix}accuracy"} if prefix else set())


def test_weights_that_do_not_fit_are_a_wrong_configuration(here, files):
    torch.save({"0.weight": torch.zeros(1)}, files / "weights.pt")
    answer = here("test", "run.toml", "--weights", "weights.pt")
    assert answer.code == 2
    assert answer.err.startswith("weights.pt cannot be loaded into Sequential:")


def test_a_launcher_runs_it_unchanged(files):
    words = ["torch.distributed.run", "--nproc-per-node=1", "--master-port=0", "-m", "hookloop", "fit", "run.toml"]
    done = subprocess.run(
        [sys.executable, "-m", *words, "--json"], cwd=files, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["step"] == 8


def test_a_rank_that_is_not_the_first_says_nothing_of_the_result(here, files, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    assert here("fit", "run.toml").out == ""


FULL = """
import resource, runpy, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
runpy.run_module("hookloop", run_name="__main__")
"""


def test_a_log_that_cannot_be_written_says_where_and_keeps_the_rows_that_fit(files):
    words = ["fit", "run.toml", "--run-dir", "a", "--set", "run.max_epochs=50"]
    ended = subprocess.run([sys.executable, "-c", FULL, *words], cwd=files, capture_output=True, text=True)
    way_out = "When that is mended, --resume goes on from the last snapshot.\n"
    assert (ended.returncode, ended.stderr) == (1, f"a/metrics.jsonl cannot be written: File too large. {way_out}")
    text = Path(files, "a", "metrics.jsonl").read_text()
    assert len(text) > 4500
    assert [json.loads(line)["step"] for line in text.splitlines()][:3] == [1, 2, 3]
    assert text.endswith("}\n")
    assert json.loads(Path(files, "a", "run.json").read_text())["outcome"] == "failed"
