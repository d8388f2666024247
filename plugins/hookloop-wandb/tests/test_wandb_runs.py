"""A run, logged offline and read back from wandb's own files."""

import json
import math
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from hookloop import HookloopError, PluginError, hookimpl


class Logs:
    """Logs one of each kind at the third step."""

    role = "observer"

    def __init__(self, path):
        self.path = path

    @hookimpl
    def on_step_end(self, run):
        if run.step == 3:
            run.log("odd", math.nan)
            run.log("large", -math.inf)
            run.log("step", 7.0)
            run.log_text("note", "a text\nof two lines")
            run.log_image("image/random", torch.randint(0, 255, (3, 4, 5), dtype=torch.uint8))
            run.log_image("grey", torch.zeros(4, 5, dtype=torch.uint8))
            run.log_histogram("weights", torch.tensor([1.0, 2.0, 2.0, math.nan, math.inf]))
            run.log_figure("figure", figure())
            run.log_artifact(self.path, "inputs/table v1")
            self.path.write_text("changed afterwards")


def figure():
    Figure = pytest.importorskip("matplotlib.figure").Figure

    made = Figure()
    made.subplots().plot([1, 2, 3])
    return made


def test_metrics_parameters_and_outcome_are_those_of_the_run(engine, files):
    result = engine(options={"tags": ["a", "b"], "notes": "why", "group": "folds"}).fit()
    found = files()
    assert sorted(found.metrics) == list(range(1, 9))
    history = {}
    for row in result.history:
        history.setdefault(row["step"], {}).update(row)
    for step, row in found.metrics.items():
        assert {**row, "time": history[step]["time"]} == history[step]
    assert {"train/loss", "val/loss"} <= set(found.metrics[4])
    assert found.config["run"]["max_epochs"] == 2
    assert found.summary["outcome"] == "completed"
    assert found.exits == [0]
    [run] = found.runs
    assert (run.project, run.display_name, run.run_group) == ("run", "run", "folds")
    assert (list(run.tags), run.notes) == (["a", "b"], "why")


def test_rows_are_numbered_through_and_drawn_over_the_step(engine, files):
    engine().fit()
    found = files()
    assert [row["_step"] for row in found.rows] == list(range(8))
    assert found.kinds["metric"] == 2


def test_media_and_files_are_logged_as_they_were(engine, files, tmp_path):
    path = tmp_path / "table.txt"
    path.write_text("as it was")
    engine(Logs(path)).fit()
    found = files()
    logged = {name: row[name] for row in found.rows if "epoch" not in row for name in row if name[0] != "_"}
    assert logged["note"] == "a text\nof two lines"
    assert (logged["image/random"]["_type"], logged["image/random"]["height"]) == ("image-file", 4)
    assert sum(logged["weights"]["values"]) == 3
    assert {row["step"] for row in found.rows if "epoch" not in row} == {3}
    pictures = [logged[name]["path"] for name in ("image/random", "grey", "figure")]
    assert all((found.files[0].parent / "files" / each).stat().st_size for each in pictures)
    [artifact] = found.artifacts
    assert artifact.name == "inputs-table-v1"
    [entry] = artifact.manifest.contents
    assert Path(entry.local_path).read_text() == "as it was"


def test_values_that_json_lacks_and_names_of_counters_are_kept(engine, files, tmp_path):
    path = tmp_path / "table.txt"
    path.write_text("")
    engine(Logs(path)).fit()
    row = files().metrics[3]
    assert math.isnan(row["odd"])
    assert row["large"] == -math.inf
    assert (row["step"], row["logged/step"]) == (3, 7.0)


def test_the_best_checkpoint_is_an_artifact_of_the_run(engine, checkpoint, files):
    engine(checkpoint(), options={"log_checkpoints": True}).fit()
    [artifact] = files().artifacts
    assert artifact.type == "model"


@pytest.mark.parametrize("command", ["validate", "test"])
def test_an_evaluation_is_a_run_as_well(engine, files, command):
    getattr(engine(), command)()
    found = files()
    assert [name for row in found.metrics.values() for name in row if name.endswith("/loss")]
    assert found.exits == [0]


class Fails:
    """Raises at the third step."""

    role = "observer"

    def __init__(self, error):
        self.error = error

    @hookimpl
    def on_step_end(self, run):
        if run.step == 3:
            raise self.error


@pytest.mark.parametrize(
    ("error", "outcome", "code"), [(ValueError("no good"), "failed", 1), (KeyboardInterrupt(), "interrupted", 130)]
)
def test_a_run_that_ends_badly_is_not_a_success(engine, files, error, outcome, code):
    with pytest.raises(BaseException):  # noqa: B017, PT011
        engine(Fails(error)).fit()
    found = files()
    assert found.summary["outcome"] == outcome
    assert ("no good" in found.summary["reason"]) == (outcome == "failed")
    assert found.exits == [code]
    assert sorted(found.metrics) == [1, 2]


def test_a_secret_does_not_reach_wandb(engine, files, monkeypatch, tmp_path):
    monkeypatch.setenv("MY_NOTES", "a-secret-value")
    engine(options={"notes": "x"}, run_dir=tmp_path / "run").fit()
    everything = b"".join(path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file())
    assert b"a-secret-value" not in everything
    assert os.fsencode(sys.argv[0]) not in b"".join(path.read_bytes() for path in files().files)


def test_two_instances_have_two_runs(engine, files):
    engine(("second", {"use": "wandb", "project": "other"})).fit()
    first, second = files(), files(instance="second")
    assert first.runs[0].run_id != second.runs[0].run_id
    assert second.runs[0].project == "other"
    assert sorted(first.metrics) == sorted(second.metrics) == list(range(1, 9))


def test_an_instance_can_be_used_for_two_runs(engine, files):
    from hookloop_wandb import Wandb

    plugin = Wandb(Wandb.Config())
    for directory in ("one", "two"):
        engine(("wandb", plugin), options=False, directory=directory).fit()
    ids = {files(directory).runs[0].run_id for directory in ("one", "two")}
    assert len(ids) == 2
    assert sorted(files("two").metrics) == list(range(1, 9))


def test_files_can_be_kept_elsewhere(engine, files, tmp_path):
    engine(options={"directory": str(tmp_path / "elsewhere")}).fit()
    assert sorted(files("elsewhere").metrics) == list(range(1, 9))
    assert not (tmp_path / "run" / "wandb").exists()


def test_online_without_an_account_is_an_error_that_names_both_ways_out(engine):
    with pytest.raises(PluginError, match=r"WANDB_API_KEY(.|\n)*offline"):
        engine(options={"mode": "online"}).fit()


def test_an_unknown_mode_of_the_environment_is_an_error(engine, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "sometimes")
    with pytest.raises(HookloopError, match="WANDB_MODE=sometimes"):
        engine().fit()


def test_switched_off_by_the_environment_nothing_is_written(engine, monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert engine().fit().outcome == "completed"
    assert not (tmp_path / "run" / "wandb").exists()


def test_a_server_that_cannot_be_reached_leaves_the_run_offline(engine, files, monkeypatch, caplog):
    monkeypatch.setattr("hookloop_wandb.opening.INIT_SECONDS", 1.0)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", "0123456789" * 4)
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    assert engine(options={"mode": "online"}).fit().outcome == "completed"
    assert "wandb sync" in caplog.text
    assert "0123456789" not in caplog.text
    assert sorted(files().metrics) == list(range(1, 9))


def test_a_library_that_fails_is_said_once_and_training_goes_on(engine, monkeypatch, caplog):
    import wandb

    def fail(*arguments, **keywords):
        raise OSError("no space left on device")

    monkeypatch.setattr(wandb.Run, "log", fail)
    assert engine().fit().outcome == "completed"
    assert caplog.text.count("no space left on device") == 1


def test_a_run_of_the_users_own_goes_on(engine, tmp_path):
    import wandb

    mine = wandb.init(mode="offline", dir=str(tmp_path), settings=wandb.Settings(silent=True, console="off"))
    try:
        engine().fit()
        assert wandb.run is mine
        mine.log({"still": 1})
        assert any(thread.name.startswith("wandb") for thread in threading.enumerate())
    finally:
        mine.finish()
        wandb.teardown()


def test_nothing_is_printed_and_nothing_is_asked(engine, capfd):
    engine().fit()
    assert capfd.readouterr().out == ""


def test_wandb_itself_finds_the_run_to_sync(engine, tmp_path):
    engine().fit()
    command = [sys.executable, "-m", "wandb", "sync", "--dry-run", *map(str, (tmp_path / "run" / "wandb").iterdir())]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert json.loads((tmp_path / "run" / "wandb.json").read_text())["id"] in done.stdout + done.stderr
