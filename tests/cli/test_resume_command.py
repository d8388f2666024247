import json

import pytest

from hookloop import snapshots
from hookloop.cli.main import with_resume_path
from hookloop.records import read_metrics

SAVING = '''
from hookloop import hookimpl, snapshots

class Saving:
    """Saves each step."""

    role = "observer"

    @hookimpl
    def persist(self, run):
        place = run.directory / "checkpoints" / "saving"
        name = f"step-{run.step}-{run.epoch}"
        kept = snapshots.write(place, name, snapshots.take(run), instance="saving", attempt=run.attempt)
        snapshots.saved(run, kept.path)

class Dying:
    """Ends the run in its fifth step."""

    @hookimpl
    def on_step_end(self, run):
        if run.step == 5:
            raise RuntimeError("killed")
'''


PREEMPTING = """
import signal
from hookloop import hookimpl

class Preempting:
    @hookimpl
    def on_step_end(self, run):
        if run.step == 5:
            signal.raise_signal(signal.SIGTERM)
"""


@pytest.fixture
def whole(here, files):
    """What a run logs that is never stopped, and the test's files."""
    (files / "saving.py").write_text(SAVING)
    with (files / "run.toml").open("a") as file:
        file.write('\n[plugins]\nautoload = false\n[plugins.saving]\nuse = "saving.py:Saving"\n')
    assert here("fit", "run.toml", "--run-dir", "whole", "-q").code == 0
    return rows(files / "whole")


@pytest.fixture
def stopped(here, files, whole):
    """The directory of a run that failed in its fifth step."""
    assert here("fit", "run.toml", "--run-dir", "mine", "-p", "saving.py:Dying", "-q").code == 1
    return files / "mine"


def rows(directory):
    return [{**row, "time": None} for row in read_metrics(directory / "metrics.jsonl")]


def came_from(directory):
    attempts = json.loads((directory / "run.json").read_text())["attempts"]
    return None if attempts[-1]["resumed_from"] is None else attempts[-1]["resumed_from"].rpartition("/")[2]


@pytest.mark.parametrize(
    ("words", "complete"),
    [
        (["fit", "run.toml", "--resume"], ["fit", "run.toml", "--resume", "newest"]),
        (["fit", "--resume", "run.toml"], ["fit", "--resume", "newest", "run.toml"]),
        (["fit", "--resume", "--json", "run.toml"], ["fit", "--resume", "newest", "--json", "run.toml"]),
        (["fit", "--resume", "-c", "run.toml"], ["fit", "--resume", "newest", "-c", "run.toml"]),
        (["fit", "--resume", "runs/a", "run.toml"], ["fit", "--resume", "runs/a", "run.toml"]),
        (["fit", "--resume=runs/a"], ["fit", "--resume=runs/a"]),
        (["fit", "run.toml"], ["fit", "run.toml"]),
    ],
)
def test_the_path_may_be_left_out_wherever_the_option_stands(words, complete):
    assert with_resume_path(words) == complete


@pytest.mark.parametrize(
    "words",
    [
        ("run.toml", "--run-dir", "mine", "--resume"),
        ("--resume", "run.toml", "--run-dir", "mine"),
        ("run.toml", "--resume", "--run-dir", "mine"),
        ("--run-dir", "mine", "--resume", "-c", "run.toml"),
    ],
    ids=" ".join,
)
def test_a_run_goes_on_wherever_the_option_stands(here, stopped, whole, words):
    answer = here("fit", *words)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("completed: 2 epochs, 8 steps, 48 samples in ")
    assert rows(stopped) == whole
    assert came_from(stopped) == "step-4-1"


def test_a_run_is_all_that_is_needed(hookloop, stopped, whole):
    answer = hookloop("fit", "--resume", "mine", "-p", "no:dying")
    assert (answer.code, answer.err) == (0, "")
    assert rows(stopped) == whole


@pytest.mark.parametrize("relative", [True, False])
def test_it_is_found_from_elsewhere_as_well(here, stopped, whole, monkeypatch, relative):
    """The run's configuration says ``run_dir = "mine"``, as the user has once written it."""
    (stopped.parent / "elsewhere").mkdir()
    monkeypatch.chdir(stopped.parent / "elsewhere")
    answer = here("fit", "--resume", "../mine" if relative else stopped, "-p", "no:dying", "-q")
    assert (answer.code, answer.err) == (0, "")
    assert rows(stopped) == whole


def test_a_run_that_was_moved_goes_on_where_it_is_now(here, stopped, whole):
    moved = stopped.rename(stopped.with_name("moved"))
    answer = here("fit", "--resume", "moved", "-p", "no:dying", "-q")
    assert (answer.code, answer.err) == (0, "")
    assert rows(moved) == whole
    assert not stopped.exists()


def test_the_summary_of_an_interrupted_run_says_how_to_go_on(here, files, whole):
    (files / "preempting.py").write_text(PREEMPTING)
    answer = here("fit", "run.toml", "--run-dir", "mine", "-p", "preempting.py")
    assert answer.code == 143
    assert "hookloop fit --resume mine" in answer.out


def test_without_a_directory_the_newest_run_of_the_name_goes_on(here, files, whole):
    assert here("fit", "run.toml", "-p", "saving.py:Dying", "-q").code == 1
    answer = here("fit", "run.toml", "--resume", "--json")
    assert answer.code == 0
    latest = files / "runs" / "tiny" / "latest"
    assert (files / answer.json["directory"]).resolve() == latest.resolve()
    assert rows(latest) == whole


def test_without_any_run_one_begins_and_says_so(here, files, whole):
    answer = here("fit", "run.toml", "--resume")
    assert answer.code == 0
    assert "there is no run to resume: this one begins" in answer.err
    assert rows(files / "runs" / "tiny" / "latest") == whole


def test_a_snapshot_begins_another_run_with_the_configuration_of_its_own(here, stopped, whole):
    answer = here("fit", "--resume", "mine/checkpoints/saving/step-2-0", "--run-dir", "other", "-p", "no:dying", "-q")
    assert (answer.code, answer.err) == (0, "")
    assert rows(stopped.with_name("other")) == whole
    assert came_from(stopped.with_name("other")) == "step-2-0"
    assert (stopped / "checkpoints" / "saving" / "step-4-1").is_dir()


def test_a_snapshot_begins_another_run_where_the_first_one_named_its_directory_too(here, stopped, whole):
    before = rows(stopped)
    answer = here("fit", "--resume", "mine/checkpoints/saving/step-2-0", "-p", "no:dying", "--json")
    assert (answer.code, answer.json["directory"].partition("/")[0]) == (0, "runs")
    assert rows(stopped.parent / answer.json["directory"]) == whole
    assert rows(stopped) == before
    assert (stopped / "checkpoints" / "saving" / "step-4-1").is_dir()


def test_a_configuration_that_is_given_comes_before_that_of_the_run(here, stopped):
    longer = stopped.with_name("longer.toml")
    longer.write_text((stopped.parent / "run.toml").read_text().replace("max_epochs = 2", "max_epochs = 3"))
    assert here("fit", "longer.toml", "--resume", "mine", "-q").code == 0
    assert len([row for row in rows(stopped) if "val/loss" in row]) == 3


def test_more_epochs_are_set_on_the_way(here, files, whole):
    answer = here("fit", "--resume", "whole", "--set", "run.max_epochs=3", "--json")
    assert (answer.code, answer.json["epoch"], answer.json["step"]) == (0, 3, 12)
    assert rows(files / "whole")[: len(whole)] == whole


WRONG = [
    (("--resume", "nowhere", "run.toml"), "--resume nowhere: there is no such directory. Give that of a run, or"),
    (("--resume", "nowhere"), "--resume nowhere: there is no such directory. Give that of a run, or"),
    (("--resume", "empty", "run.toml"), "--resume empty: this is neither a run directory nor a snapshot of one."),
    (("--resume", "task.py", "run.toml"), "--resume task.py: "),
    (("--resume", "mine", "run.toml", "--run-dir", "other"), "--resume mine goes on in that very directory, and "),
    (("--resume", "mine/checkpoints", "run.toml"), "--resume mine/checkpoints: this is neither a run directory nor"),
]


@pytest.mark.parametrize(("words", "said"), WRONG, ids=[" ".join(words) for words, _ in WRONG])
def test_a_wrong_path_is_an_error_that_says_what_is_wanted(here, stopped, words, said):
    (stopped.parent / "empty").mkdir()
    before = sorted(stopped.parent.iterdir())
    answer = here("fit", *words)
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err
    assert "Traceback" not in answer.err
    assert sorted(stopped.parent.iterdir()) == before


def test_a_wrong_path_has_no_traceback_from_outside_either(hookloop, files):
    answer = hookloop("fit", "run.toml", "--resume", "nowhere")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("--resume nowhere: there is no such directory.")
    assert len(answer.err.splitlines()) == 1


def test_another_model_is_told_key_by_key(here, stopped):
    answer = here("fit", "run.toml", "--run-dir", "mine", "--resume", "--set", "task.hidden=5")
    assert (answer.code, answer.out) == (2, "")
    assert "  0.weight has shape (4, 4) in the state and (5, 4) in the model\n" in answer.err
    assert "--set run.strict_resume=false" in answer.err
    assert "Traceback" not in answer.err
    words = ("run.toml", "--run-dir", "mine", "--resume", "--set", "task.hidden=5", "--set", "run.strict_resume=false")
    assert here("fit", *words, "-q").code == 0


def test_damage_is_told_and_nothing_begins(here, stopped):
    for each in snapshots.find(stopped):
        (each.path / "model.pt").write_bytes(b"")
    newest = snapshots.find(stopped)[0].path
    named = here("fit", "--resume", newest.relative_to(stopped.parent), "--run-dir", "other")
    assert named.code == 1
    assert "is damaged, and is not resumed from: model.pt: has 0 bytes" in named.err
    answer = here("fit", "run.toml", "--run-dir", "mine", "--resume")
    assert answer.code == 1
    assert "has snapshots, but none to resume from" in answer.err
    assert "Traceback" not in named.err + answer.err


def test_resume_without_a_path_and_without_a_configuration_asks_for_one(here, files):
    answer = here("fit", "--resume")
    assert (answer.code, answer.out) == (2, "")
    assert "Traceback" not in answer.err


def test_only_fit_resumes(here, files):
    answer = here("validate", "run.toml", "--resume")
    assert (answer.code, answer.out) == (2, "")
    assert "--resume" in answer.err
