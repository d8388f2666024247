"""Names, parameters, points, the spool and the ledger, each by itself."""

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookloop_mlflow import ledger
from hookloop_mlflow.names import key_name, path_name
from hookloop_mlflow.params import digest, parameters
from hookloop_mlflow.points import Known, Point, points_of
from hookloop_mlflow.spool import NOTE, Item, Spool, content_of


@pytest.mark.parametrize("name", ["train/loss", "val/f1", "a b", "x.y-z_1", "größe", "a:b"])
def test_names_that_mlflow_takes_stay(name):
    assert key_name(name) == name


def test_a_changed_name_looks_like_the_old_one_and_keeps_a_suffix():
    assert key_name("acc@5").startswith("acc_5-")
    assert path_name("a/größe.txt").startswith("a/gr__e-")
    assert path_name("a/größe.txt").endswith(".txt")


@settings(deadline=None)  # a busy machine is no failure
@given(st.text(max_size=300))
def test_mlflow_takes_every_changed_name(name):
    from mlflow.utils.validation import _validate_length_limit, _validate_metric_name

    _validate_metric_name(key_name(name))
    _validate_length_limit("name", 250, key_name(name))
    _validate_metric_name(path_name(name))
    assert not path_name(name).startswith(("/", ".."))


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.text(alphabet="a@#_/.", max_size=6), unique=True))
def test_two_names_never_become_one(names):
    assert len({key_name(name) for name in names}) == len(names)
    assert len({path_name(name) for name in names}) == len(names)


def test_parameters_are_flat_texts():
    settings = {"run": {"seed": 7, "name": "x"}, "metrics": {}, "plugins": {"order": ["a", "b"]}, "long": "y" * 7000}
    found = parameters(settings)
    assert found["run.seed"] == "7"
    assert found["run.name"] == "x"
    assert found["metrics"] == "{}"
    assert found["plugins.order"] == '["a", "b"]'
    assert len(found["long"]) == 6000


def test_the_digest_of_a_configuration_is_about_what_trains():
    settings = {"run": {"seed": 7, "run_dir": "a"}, "task": {"use": "<f at 0x12>"}, "plugins": {"mlflow": {"tags": 1}}}
    same = {"run": {"seed": 7, "run_dir": "b"}, "task": {"use": "<f at 0x9f>"}, "plugins": {"mlflow": {}}}
    other = {**settings, "run": {"seed": 8, "run_dir": "a"}}
    assert digest(settings, "mlflow") == digest(same, "mlflow") != digest(other, "mlflow")


def test_points_have_the_step_and_the_time_of_their_row():
    row = {"step": 3, "epoch": 1, "time": 12.3456, "train/loss": 0.5, "x": math.inf}
    assert list(points_of(row)) == [Point("train/loss", 0.5, 12345, 3), Point("x", math.inf, 12345, 3)]


def test_points_that_are_known_are_left_out_as_often_as_they_are_known():
    known = Known([("a", 1), ("a", 2), ("a", 2)])
    assert known.last_step == 2
    told = [known.lacks(Point("a", 0.0, 0, step)) for step in (1, 2, 2, 2, 3)]
    assert told == [False, False, False, True, True]


def item(to="a/b.txt"):
    return Item("artifact", to, 1, 2)


def test_what_waits_in_a_spool_survives_its_process_in_order(tmp_path):
    spool = Spool(tmp_path / "spool")
    spool.put(item("first"), b"1")
    spool.put(item("second"), b"2")
    again = Spool(tmp_path / "spool")
    found = [(each.to, content_of(folder, each).read_bytes()) for folder, each in again.waiting()]
    assert found == [("first", b"1"), ("second", b"2")]
    again.put(item("third"), b"3")
    assert [each.to for _, each in again.waiting()] == ["first", "second", "third"]
    again.discard(2)
    assert [each.to for _, each in again.waiting()] == ["third"]
    again.close()
    assert again.directory.exists()
    again.remove(next(again.waiting())[0])
    again.close()
    assert not again.directory.exists()


def test_what_a_kill_cut_off_in_a_spool_is_removed(tmp_path):
    spool = Spool(tmp_path / "spool")
    spool.put(item("first"), b"1")
    (folder,) = spool.folders()
    (folder / NOTE).unlink()
    assert list(Spool(tmp_path / "spool").waiting()) == []
    assert spool.folders() == []


def test_a_directory_and_a_link_are_put_in_as_what_they_hold(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "x").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "d" / "x")
    spool = Spool(tmp_path / "spool")
    spool.put(item("folder"), tmp_path / "d")
    spool.put(item("file"), tmp_path / "link")
    (tmp_path / "d" / "x").unlink()
    (first, second) = [content_of(*each) for each in spool.waiting()]
    assert (first / "x").read_text() == second.read_text() == "x"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"other": 1}'])
def test_a_ledger_that_says_nothing_is_none(tmp_path, text):
    path = tmp_path / "mlflow.json"
    assert ledger.read(path) is None
    path.write_text(text)
    assert ledger.read(path) is None


def test_a_ledger_is_read_as_it_was_written(tmp_path):
    entry = ledger.Entry("uri", "experiment", "key", "settings", "id")
    ledger.write(tmp_path / "mlflow.json", entry)
    assert ledger.read(tmp_path / "mlflow.json") == entry
    assert [path.name for path in Path(tmp_path).iterdir() if "mlflow.json" in path.name] == ["mlflow.json"]
