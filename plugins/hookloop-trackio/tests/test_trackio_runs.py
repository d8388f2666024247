"""A run, logged and read back with trackio's own client."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hookloop import PluginError, hookimpl


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
            run.log("project", 8.0)
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


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "table.txt"
    path.write_text("as it was")
    return path


def test_metrics_parameters_and_outcome_are_those_of_the_run(engine, logged):
    result = engine(options={"group": "folds"}).fit()
    found = logged()
    history = {}
    for row in result.history:
        history.setdefault(row["step"], {}).update(row)
    assert found.steps == list(range(1, 9))
    assert found.metrics == [{n: v for n, v in row.items() if n != "time"} for row in history.values()]
    assert {"train/loss", "val/loss"} <= set(found.metrics[3])
    assert found.config["run"]["max_epochs"] == 2
    assert (found.run.name, found.config["_Group"]) == ("run", "folds")
    [alert] = found.alerts
    assert (alert["title"], alert["level"], alert["step"]) == ("completed", "info", 8)


def test_media_and_files_are_logged_as_they_were(engine, logged, table, tmp_path):
    import trackio
    from trackio.utils import MEDIA_DIR

    engine(Logs(table)).fit()
    found = logged()
    media = {name: row[name] for row in found.rows if "epoch" not in row for name in row if name != "step"}
    assert {row["step"] for row in found.rows if "epoch" not in row} == {3}
    assert media["note"] == {"_type": "trackio.markdown", "_value": "a text\nof two lines"}
    assert sum(media["weights"]["values"]) == 3
    assert all((MEDIA_DIR / media[name]["file_path"]).stat().st_size for name in ("image/random", "grey", "figure"))
    [artifact] = found.artifacts
    assert artifact["name"] == "inputs-table-v1"
    reader = trackio.init(project=found.run.project, name="reader", embed=False, auto_log_cpu=False, auto_log_gpu=False)
    folder = reader.use_artifact("inputs-table-v1:latest").download(tmp_path / "downloaded")
    reader.finish()
    assert (Path(folder) / "table.txt").read_text() == "as it was"


def test_values_that_json_lacks_and_reserved_names_are_kept(engine, logged, table):
    engine(Logs(table)).fit()
    row = logged().metrics[2]
    assert math.isnan(row["odd"])
    assert row["large"] == -math.inf
    assert (row["step"], row["logged/step"], row["logged/project"]) == (3, 7.0, 8.0)


def test_the_best_checkpoint_is_an_artifact_of_the_run(engine, checkpoint, logged):
    engine(checkpoint(), options={"log_checkpoints": True}).fit()
    [artifact] = logged().artifacts
    assert (artifact["name"], artifact["type"]) == ("run-checkpoint", "model")


@pytest.mark.parametrize("command", ["validate", "test"])
def test_an_evaluation_is_a_run_as_well(engine, logged, command):
    getattr(engine(), command)()
    assert [name for row in logged().metrics for name in row if name.endswith("/loss")]


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
    ("error", "outcome", "level"),
    [(ValueError("no good"), "failed", "error"), (KeyboardInterrupt(), "interrupted", "warn")],
)
def test_a_run_that_ends_badly_is_not_a_success(engine, logged, error, outcome, level):
    with pytest.raises(BaseException):  # noqa: B017, PT011
        engine(Fails(error)).fit()
    found = logged()
    [alert] = found.alerts
    assert (alert["title"], alert["level"]) == (outcome, level)
    assert ("no good" in (alert["text"] or "")) == (outcome == "failed")
    assert found.steps == [1, 2]


def test_two_instances_have_two_runs_of_one_name(engine, logged, tmp_path):
    engine(("second", {"use": "trackio"})).fit()
    for instance in ("trackio", "second"):
        run_id = json.loads((tmp_path / "run" / f"{instance}.json").read_text())["id"]
        assert logged(run_id).steps == list(range(1, 9))


def test_an_instance_can_be_used_for_two_runs(engine, logged):
    from hookloop_trackio import Trackio

    plugin = Trackio(Trackio.Config())
    for directory in ("one", "two"):
        engine(("trackio", plugin), options=False, directory=directory).fit()
        assert logged(directory).steps == list(range(1, 9))


def test_a_run_of_the_users_own_goes_on(engine, logged, project):
    import trackio

    mine = trackio.init(project=project, name="mine", embed=False, auto_log_cpu=False, auto_log_gpu=False)
    engine().fit()
    trackio.log({"still": 1}, step=5)
    mine.finish()
    assert [row["step"] for row in logged("mine").rows] == [5]
    assert logged("run").steps == list(range(1, 9))


def test_nothing_is_printed(engine, capfd):
    engine().fit()
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("variable", ["TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL"])
def test_a_run_that_would_go_elsewhere_is_refused(engine, monkeypatch, variable):
    monkeypatch.setenv(variable, "https://example.invalid")
    with pytest.raises(PluginError, match=f"{variable} is set(.|\n)*trackio sync"):
        engine().fit()


def test_a_project_that_trackio_has_no_room_for_is_an_error(engine):
    with pytest.raises(PluginError, match="reserved"):
        engine(options={"project": "registry-x"}).fit()


def test_another_directory_than_the_one_in_use_is_an_error(engine, tmp_path):
    import trackio  # noqa: F401

    with pytest.raises(PluginError, match=r"was imported before(.|\n)*TRACKIO_DIR"):
        engine(options={"directory": str(tmp_path)}).fit()


def test_the_directory_is_an_option(tmp_path):
    code = (
        "import sys, os; from pathlib import Path; os.environ.pop('TRACKIO_DIR', None)\n"
        "from hookloop_trackio.opening import library\n"
        "print(library(Path(sys.argv[1])).TRACKIO_DIR, os.environ.get('TRACKIO_DIR'))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(tmp_path), "None"]


def test_nobody_is_asked_who_the_user_is(engine, monkeypatch):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "whoami", lambda *arguments, **keywords: pytest.fail("a request"))
    monkeypatch.setenv("HF_TOKEN", "hf_nothing")
    assert engine().fit().outcome == "completed"


def test_a_database_that_cannot_be_written_is_said_once_and_training_goes_on(engine, project, caplog):
    from trackio.sqlite_storage import SQLiteStorage

    SQLiteStorage.get_project_db_path(project).mkdir(parents=True)
    assert engine().fit().outcome == "completed"
    assert caplog.text.count("Training goes on") == 1


def test_a_library_that_fails_is_said_once_and_training_goes_on(engine, monkeypatch, caplog):
    import trackio

    def fail(*arguments, **keywords):
        raise OSError("no space left on device")

    monkeypatch.setattr(trackio.Run, "log", fail)
    assert engine().fit().outcome == "completed"
    assert caplog.text.count("no space left on device") == 1
