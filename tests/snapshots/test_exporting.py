import sys

import pytest
import torch

from hookloop import SnapshotError, snapshots


@pytest.fixture
def model():
    """A model with a tied weight, a transposed one, and a buffer."""
    tied = torch.nn.Linear(3, 3, bias=False)
    model = torch.nn.ModuleDict({"one": tied, "two": tied, "norm": torch.nn.BatchNorm1d(3)})
    model.register_buffer("turned", torch.arange(6.0).reshape(2, 3).t())
    return model


@pytest.fixture
def saved(directory, run_dir, model):
    return snapshots.write(
        directory, "weights", {"model": model.state_dict()}, instance="checkpoint", kind="weights"
    ).path


def test_safetensors_hold_each_tensor_once_and_name_its_other_names(saved, model, tmp_path):
    safetensors = pytest.importorskip("safetensors")
    target = tmp_path / "out" / "model.safetensors"
    snapshots.export_weights(saved, target)
    with safetensors.safe_open(target, "pt") as file:
        assert file.metadata() == {"format": "pt", "two.weight": "one.weight"}
        assert sorted(file.keys()) == sorted(model.state_dict().keys() - {"two.weight"})
        for name in file.keys():  # noqa: SIM118 - this is no mapping
            assert torch.equal(file.get_tensor(name), model.state_dict()[name])
    assert [each.name for each in target.parent.iterdir()] == ["model.safetensors"]


def test_safetensors_load_into_the_model_by_their_own_means(saved, model, tmp_path):
    library = pytest.importorskip("safetensors.torch")
    snapshots.export_weights(saved, tmp_path / "model.safetensors")
    expected = {name: value.clone() for name, value in model.state_dict().items()}
    for value in model.state_dict().values():
        value.zero_()
    library.load_model(model, tmp_path / "model.safetensors")
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())


def test_views_of_one_storage_are_exported_as_tensors_of_their_own(directory, run_dir, tmp_path):
    library = pytest.importorskip("safetensors.torch")
    square = torch.rand(3, 3)
    weights = {"a": square, "b": square.t(), "c": square.reshape(9)}
    path = snapshots.write(directory, "views", {"model": weights}, instance="checkpoint").path
    snapshots.export_weights(path, tmp_path / "x.safetensors")
    read = library.load_file(tmp_path / "x.safetensors")
    assert all(torch.equal(read[name], weights[name]) for name in weights)


def test_without_the_package_the_error_says_how_to_install_it(saved, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(SnapshotError, match="pip install safetensors"):
        snapshots.export_weights(saved, tmp_path / "x.safetensors")
    assert [each.name for each in tmp_path.iterdir()] == ["run"]


def test_what_is_no_tensor_is_named_with_the_other_format_as_the_way_out(directory, run_dir, tmp_path):
    pytest.importorskip("safetensors")
    state = {"model": {"weight": torch.ones(1), "layer._extra_state": {"scale": 1}}}
    path = snapshots.write(directory, "extra", state, instance="checkpoint").path
    with pytest.raises(SnapshotError, match=r"'layer\._extra_state' is no dense tensor.*Export a \.pt file"):
        snapshots.export_weights(path, tmp_path / "x.safetensors")
    snapshots.export_weights(path, tmp_path / "x.pt")
    assert torch.load(tmp_path / "x.pt", weights_only=True)["layer._extra_state"] == {"scale": 1}


def test_what_safetensors_cannot_hold_is_an_error_and_leaves_nothing(directory, run_dir, tmp_path):
    pytest.importorskip("safetensors")
    path = snapshots.write(directory, "sparse", {"model": {"w": torch.eye(2).to_sparse()}}, instance="checkpoint").path
    with pytest.raises(SnapshotError, match=r"Export a \.pt file instead"):
        snapshots.export_weights(path, tmp_path / "x.safetensors")
    assert [each.name for each in tmp_path.iterdir()] == ["run"]


def test_a_pt_file_is_the_plain_state_dict_and_replaces_one_that_is_there(saved, model, tmp_path):
    target = tmp_path / "model.pt"
    target.write_text("old")
    snapshots.export_weights(saved, target)
    model.load_state_dict(torch.load(target, weights_only=True))


def test_another_ending_is_an_error(saved, tmp_path):
    with pytest.raises(SnapshotError, match=r"has to end in \.safetensors or \.pt"):
        snapshots.export_weights(saved, tmp_path / "model.onnx")


def test_a_target_that_cannot_be_written_is_an_error(saved, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SnapshotError, match=r"model\.pt could not be written"):
        snapshots.export_weights(saved, tmp_path / "file" / "model.pt")


def test_a_damaged_snapshot_is_not_exported(saved, tmp_path):
    (saved / "model.pt").write_bytes(b"")
    with pytest.raises(snapshots.SnapshotDamaged):
        snapshots.export_weights(saved, tmp_path / "x.pt")
