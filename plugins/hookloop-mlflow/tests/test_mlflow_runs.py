"""The plugin in an engine, and what MLflow's own client reads back."""

import json
import math
from pathlib import Path

import pytest
import torch

from hookloop import ConfigError, PluginError, hookimpl
from hookloop_mlflow.database import default_uri

SAVER = f"{Path(__file__).with_name('saver.py')}:Saver"


def rows(directory="run"):
    return [json.loads(line) for line in (Path(directory) / "metrics.jsonl").read_text().splitlines()]


def logged(name, directory="run"):
    return [(row["step"], float(row[name])) for row in rows(directory) if name in row]


class Do:
    """Calls a function after a step."""

    role = "observer"

    def __init__(self, at_step, do):
        self.at_step, self.do = at_step, do

    @hookimpl
    def on_step_end(self, run):
        if run.step == self.at_step:
            self.do(run)


def fail(run):
    raise RuntimeError("out of luck")


def interrupt(run):
    raise KeyboardInterrupt


def test_metrics_are_points_of_the_same_name_value_step_and_time(engine, shown):
    engine().fit()
    found = shown().run()
    histories = shown().histories(found)
    assert set(histories) == {"train/loss", "val/loss"}
    assert histories["train/loss"] == logged("train/loss")
    assert histories["val/loss"] == logged("val/loss")
    first = shown().client.get_metric_history(found.info.run_id, "train/loss")[0]
    assert first.timestamp == int(1000 * rows()[0]["time"])


def test_the_configuration_is_parameters_and_an_artifact(engine, shown, tmp_path):
    engine(seed=7).fit()
    found = shown().run()
    assert found.data.params["run.seed"] == "7"
    assert found.data.params["optimizer.lr"] == "0.1"
    assert found.data.params["run.log_every"] == "1 step"
    copy = shown().artifact(found, "config.toml", tmp_path)
    assert Path(copy).read_text() == Path("run/config.toml").read_text()


def test_the_configuration_can_be_left_out(engine, shown):
    engine(options={"parameters": False}).fit()
    assert shown().run().data.params == {}
    assert shown().artifacts(shown().run()) == []


def test_more_parameters_than_one_call_takes_are_all_logged(engine, shown):
    tags = {f"tag {number}@": "x" for number in range(150)}
    engine(options={"tags": tags}).fit()
    found = shown().run()
    assert len(found.data.params) > 150
    assert sum(value == "x" for value in found.data.tags.values()) == 150


def test_experiment_name_and_tags_are_options(engine, shown):
    engine(options={"experiment": "all of them", "run_name": "first", "tags": {"team": "a"}}).fit()
    found = shown().run("all of them")
    assert found.info.run_name == "first"
    assert found.data.tags["team"] == "a"
    assert found.data.tags["hookloop.directory"].endswith("/run")


@pytest.mark.parametrize(
    ("do", "status", "outcome"),
    [
        (None, "FINISHED", "completed"),
        (lambda run: run.request_stop("enough"), "FINISHED", "stopped"),
        (fail, "FAILED", "failed"),
        (interrupt, "KILLED", "interrupted"),
    ],
)
def test_the_outcome_is_the_status_and_a_tag(engine, shown, do, status, outcome):
    plugins = [Do(4, do)] if do else []
    try:
        engine(*plugins).fit()
    except (PluginError, KeyboardInterrupt):
        pass
    found = shown().run()
    assert found.info.status == status
    assert found.data.tags["hookloop.outcome"] == outcome
    assert found.info.end_time >= found.info.start_time
    assert ("out of luck" in found.data.tags.get("hookloop.error", "")) == (outcome == "failed")
    assert found.data.tags.get("hookloop.stop_reason") == ("enough" if outcome == "stopped" else None)
    assert shown().history(found, "train/loss") == logged("train/loss")


def test_nan_and_infinities_are_read_back_as_mlflow_stores_them(engine, shown):
    values = {1: -math.inf, 2: math.inf, 3: math.nan, 4: 0.5}

    class Log:
        @hookimpl
        def on_step_end(self, run):
            if run.step in values:
                run.log("x", values[run.step])

    engine(Log()).fit()
    largest = 1.7976931348623157e308
    *others, nan, last = shown().history(shown().run(), "x")
    assert [*others, last] == [(1, -largest), (2, largest), (4, 0.5)]
    assert nan[0] == 3
    assert math.isnan(nan[1])


def test_names_that_mlflow_refuses_are_changed_and_do_not_collide(engine, shown):
    def log(run):
        for value, name in enumerate(["acc@5", "acc#5", "acc_5", "a//b", "é: x", "y" * 300]):
            run.log(name, value)

    engine(Do(2, log)).fit()
    histories = shown().histories(shown().run())
    assert histories["acc_5"] == [(2, 2.0)]
    assert histories["é: x"] == [(2, 4.0)]
    assert sorted(value for name, [(_, value), *_] in histories.items() if "loss" not in name) == [0, 1, 2, 3, 4, 5]


def test_texts_images_figures_and_files_are_artifacts(engine, shown, tmp_path):
    figure = pytest.importorskip("matplotlib.figure").Figure()
    (tmp_path / "folder" / "in").mkdir(parents=True)
    (tmp_path / "folder" / "in" / "x.txt").write_text("in it")

    def log(run):
        run.log_text("samples", "größer")
        run.log_image("val/first", torch.arange(12, dtype=torch.uint8).reshape(3, 2, 2))
        run.log_figure("curve", figure)
        run.log_artifact(tmp_path / "folder")
        passing = tmp_path / "passing.txt"
        passing.write_text("gone soon")
        run.log_artifact(passing, "notes/kept.txt")
        passing.unlink()

    engine(Do(2, log), options={"parameters": False}).fit()
    found = shown().run()
    names = shown().artifacts(found)
    assert [name for name in names if not name.startswith("images/")] == [
        "figures/curve/00000002.png",
        "folder/in/x.txt",
        "notes/kept.txt",
        "texts/samples/00000002.txt",
    ]
    assert Path(shown().artifact(found, "texts/samples/00000002.txt", tmp_path)).read_text("utf-8") == "größer"
    assert Path(shown().artifact(found, "notes/kept.txt", tmp_path)).read_text() == "gone soon"
    (image,) = (name for name in names if name.endswith(".png") and name.startswith("images/"))
    assert image.replace("#", "~").replace("%", "+").startswith("images/val~first+step+2+")
    assert not Path("run/mlflow.spool").exists()


def test_the_best_and_the_last_checkpoint_are_artifacts_when_asked_for(engine, shown):
    made = engine(SAVER, options={"checkpoints": ["last", "best"], "parameters": False})
    last = made.fit().last_checkpoint
    names = shown().artifacts(shown().run())
    wanted = [f"checkpoints/{last.name}/{path.relative_to(last)}" for path in last.rglob("*") if path.is_file()]
    assert names == sorted(wanted)


def test_validation_and_test_add_to_the_run_and_leave_its_outcome(engine, shown):
    made = engine()
    made.fit()
    made.test()
    found = shown().run()
    assert [step for step, _ in shown().history(found, "test/loss")] == [6]
    assert found.info.status == "FINISHED"
    made.test()
    assert len(shown().history(shown().run(), "test/loss")) == 2


def test_a_test_without_a_fit_is_a_run_that_ends(engine, shown):
    engine().test()
    found = shown().run()
    assert found.info.status == "FINISHED"
    assert set(found.data.metrics) == {"test/loss"}


def test_a_prediction_logs_what_it_is_given_and_else_nothing(engine, shown):
    class Note:
        @hookimpl
        def on_predict_end(self, run):
            run.log_text("note", "done")

    engine(Note()).predict()
    assert shown().artifacts(shown().run()) == ["texts/note/00000000.txt"]
    engine(directory="other", name="other").predict()
    assert not Path("other/mlflow.json").exists()


def test_a_run_that_fails_while_it_is_built_is_none_of_mlflow(engine, shown):
    class Fail:
        @hookimpl
        def on_ready(self, run):
            run.log_text("note", "soon")
            raise RuntimeError

    with pytest.raises(PluginError):
        engine(Fail()).fit()
    assert shown().runs() == []


def test_a_run_that_replaces_another_is_a_new_one(engine, shown):
    engine().fit()
    engine(overwrite=True).fit()
    first, second = shown().runs()
    assert first.info.run_id != second.info.run_id
    assert shown().history(second, "train/loss") == logged("train/loss")


def test_two_instances_log_side_by_side(engine, shown):
    engine(("second", {"use": "mlflow", "experiment": "second"})).fit()
    assert shown().histories(shown().run()) == shown().histories(shown().run("second"))


def test_nothing_global_of_mlflow_is_changed_or_used(engine, shown, monkeypatch):
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # MLflow sets the variable
    mlflow.set_tracking_uri("http://127.0.0.1:9")
    try:
        engine(options={"tracking_uri": "sqlite:///mlflow.db"}).fit()
        assert mlflow.active_run() is None
        assert mlflow.get_tracking_uri() == "http://127.0.0.1:9"
        assert shown().run().info.status == "FINISHED"
    finally:
        mlflow.set_tracking_uri(None)


@pytest.mark.parametrize(
    ("directory", "expected"),
    [
        ("runs/name/one", "runs/mlflow.db"),
        ("runs/mine", "runs/mlflow.db"),
        ("elsewhere/mine", "elsewhere/mlflow.db"),
    ],
)
def test_runs_of_one_directory_share_a_database(tmp_path, directory, expected):
    assert default_uri(tmp_path / directory, Path("runs")) == f"sqlite:///{tmp_path / expected}"


def test_the_environment_may_name_the_server_and_the_option_comes_first(engine, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///from-environment.db")
    engine().fit()
    assert Path("from-environment.db").exists()
    engine(options={"tracking_uri": "sqlite:///deep/er/own.db"}, directory="second").fit()
    assert Path("deep/er/own.db").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tracking_uri": "htp://nowhere"}, "cannot log to htp://nowhere"),
        ({"tracking_uri": "sqlite:////proc/none/x.db"}, "cannot log to sqlite:////proc/none/x.db"),
        ({"tracking_uri": " "}, "must not be empty"),
        ({"checkpoints": ["newest"]}, "checkpoints"),
    ],
)
def test_a_mistake_is_an_error_before_anything_is_built(engine, options, message):
    class Built:
        @hookimpl
        def prepare_model(self, model):
            raise AssertionError

    with pytest.raises((ConfigError, PluginError), match=message):
        engine(Built(), options=options).fit()


def test_a_deleted_experiment_is_an_error_that_says_so(engine, shown):
    engine().fit()
    client = shown().client
    client.delete_experiment(client.get_experiment_by_name("run").experiment_id)
    with pytest.raises((ConfigError, PluginError), match="'run' was deleted: restore it"):
        engine(directory="second").fit()
