import collections
import dataclasses
import os
import pickle
import random

import numpy as np
import pytest
import torch

from hookloop import SnapshotError, snapshots
from hookloop.snapshots.manifest import FileRecord, encode
from hookloop.snapshots.verifying import sha256_of
from hookloop.testing.comparison import first_difference

TENSORS = {
    "bfloat16": torch.tensor([1.5, -0.0, float("nan")], dtype=torch.bfloat16),
    "float8": torch.tensor([1.0, 2.0]).to(torch.float8_e4m3fn),
    "double": torch.tensor([1 / 3], dtype=torch.float64),
    "complex": torch.tensor([1 + 2j]),
    "bool": torch.tensor([True, False]),
    "uint8": torch.get_rng_state(),
    "no element": torch.empty(0, 3),
    "no dimension": torch.tensor(3),
    "transposed": torch.arange(6).reshape(2, 3).t(),
    "channels last": torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last),
    "expanded": torch.ones(1).expand(4),
    "part of another": torch.arange(10)[2:8:2],
    "conjugated": torch.tensor([1 + 2j]).conj(),
}
PLAIN = {
    "none": None,
    "truth": True,
    "large": -(2**200),
    "float": float("inf"),
    "complex": 1j,
    "text": "é\n",
    "bytes": b"\x00\xff",
    "bytearray": bytearray(b"ab"),
    "list": [1, [2, [3]]],
    "tuple": (1, (2,)),
    "set": {1, "a"},
    "ordered": collections.OrderedDict(b=1, a=2),
    "counter": collections.Counter("abca"),
    "keys": {1: "int", None: "none", (1, 2): "tuple", 2.5: "float"},
    "size": torch.Size([1, 2]),
    "dtype": torch.float16,
    "device": torch.device("cpu"),
    "python": random.getstate(),
    "numpy": np.random.default_rng(1).bit_generator.state,
}


@pytest.fixture
def round_trip(directory, run_dir):
    """A function that writes one value and reads it back, both as it is and from a copy."""

    def both(value):
        ways = {"as it is": {"data": value}, "copy": snapshots.copy_state({"data": value})}
        for name, state in ways.items():
            yield snapshots.read(snapshots.write(directory, name, state, instance="checkpoint").path)["data"]

    return both


@pytest.mark.parametrize("name", TENSORS)
def test_a_tensor_comes_back_bit_by_bit(round_trip, name):
    for read in round_trip({"x": TENSORS[name]}):
        assert first_difference({"x": TENSORS[name].resolve_conj()}, {"x": read["x"].resolve_conj()}) is None


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_value_comes_back_as_the_same_type(round_trip, name):
    for read in round_trip({"x": PLAIN[name]}):
        assert read["x"] == PLAIN[name]
        assert type(read["x"]) is type(PLAIN[name])


def test_sparse_meta_and_parameters_come_back(round_trip):
    sparse = torch.eye(3).to_sparse()
    parameter = torch.nn.Parameter(torch.ones(2), requires_grad=False)
    value = {
        "sparse": sparse,
        "meta": torch.empty(3, device="meta"),
        "p": parameter,
    }
    for read in round_trip(value):
        assert torch.equal(read["sparse"].to_dense(), torch.eye(3))
        assert (read["meta"].device.type, read["meta"].shape) == ("meta", (3,))
        assert type(read["p"]) is torch.nn.Parameter
        assert not read["p"].requires_grad
        assert torch.equal(read["p"], parameter)


def test_the_states_of_a_model_optimizers_schedules_and_a_scaler_come_back(round_trip):
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 1))
    optimizers = [torch.optim.AdamW(model.parameters()), torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)]
    schedules = [torch.optim.lr_scheduler.OneCycleLR(optimizers[0], 0.1, 10)]
    for _ in range(2):
        model(torch.randn(5, 3)).sum().backward()
        for each in optimizers:
            each.step()
        schedules[0].step()
    scaler = torch.amp.GradScaler("cpu")
    states = [each.state_dict() for each in (model, *optimizers, *schedules, scaler)]
    for read in round_trip(states):
        assert first_difference(states, read) is None
        assert read[0]._metadata == states[0]._metadata
        model.load_state_dict(read[0])


def test_one_tensor_of_two_names_comes_back_as_one(round_trip):
    tied = torch.nn.Linear(3, 3, bias=False)
    model = torch.nn.ModuleDict({"one": tied, "two": tied})
    for read in round_trip(model.state_dict()):
        read["one.weight"].zero_()
        assert not read["two.weight"].any()


def test_only_the_parts_that_are_asked_for_are_read(save):
    path = save(3).path
    (path / "optimizer-0.pt").unlink()
    assert list(snapshots.read(path, parts=["model", "counters"])) == ["model", "counters"]
    with pytest.raises(snapshots.SnapshotDamaged, match=r"optimizer-0\.pt: missing"):
        snapshots.read(path, parts=["optimizers"])


def test_a_part_that_is_not_there_is_an_error_with_a_suggestion(save):
    with pytest.raises(SnapshotError, match=r"has no 'models'\. Did you mean 'model'"):
        snapshots.read(save(1).path, parts=["models"])


def test_a_state_without_optimizers_comes_back_with_none(directory, run_dir):
    saved = snapshots.write(directory, "none", {"optimizers": []}, instance="checkpoint")
    assert snapshots.read(saved.path) == {"optimizers": []}


def test_tensors_come_to_the_device_that_is_asked_for(save):
    assert snapshots.read(save(1).path, map_location="meta")["model"]["weight"].is_meta


def test_an_explicit_path_never_falls_back_and_names_all_faults(save):
    save(1)
    path = save(2).path
    (path / "model.pt").unlink()
    (path / "run.pt").write_bytes(b"")
    (path / "extra").write_bytes(b"")
    with pytest.raises(
        snapshots.SnapshotDamaged, match=r"run\.pt: has 0.*model\.pt: missing.*extra: not in the manifest"
    ):
        snapshots.read(path)
    assert path.exists()


class Malicious:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def replace_file(path, name):
    """Make the manifest of the snapshot at *path* match its file *name* as it is now."""
    file = path / name
    record = FileRecord(file.stat().st_size, sha256_of(file))
    snapshot = snapshots.read_manifest(path)
    (path / "MANIFEST.json").write_bytes(encode(dataclasses.replace(snapshot, files={**snapshot.files, name: record})))


@pytest.mark.parametrize(
    ("dump", "message"),
    [(torch.save, r"holds code \(posix\.system\) and was not"), (pickle.dump, "may be code, and was not")],
)
def test_a_file_that_holds_code_is_refused_and_the_code_does_not_run(save, run_dir, tmp_path, dump, message):
    save(1)
    path = save(2).path
    marker = tmp_path / "marker"
    with (path / "model.pt").open("wb") as file:
        dump({"weight": Malicious(marker)}, file)
    replace_file(path, "model.pt")
    assert snapshots.verify(path) == []
    with pytest.raises(SnapshotError, match=rf"model\.pt .*{message} loaded") as caught:
        snapshots.read(path)
    assert not isinstance(caught.value, snapshots.SnapshotDamaged)
    assert not marker.exists()


def test_an_environment_that_asks_for_unsafe_loading_is_not_heard(save, tmp_path, monkeypatch):
    path = save(2).path
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    torch.save(Malicious(tmp_path / "marker"), path / "model.pt")
    replace_file(path, "model.pt")
    with pytest.raises(SnapshotError, match="holds code"):
        snapshots.read(path)
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04" + bytes(100)])
def test_a_file_that_torch_cannot_read_is_an_error_with_its_path(save, content):
    path = save(1).path
    (path / "model.pt").write_bytes(content)
    replace_file(path, "model.pt")
    with pytest.raises(SnapshotError, match=r"model\.pt (cannot be read|is no archive)"):
        snapshots.read(path)


def test_a_shared_file_that_lacks_a_key_is_an_error(save):
    path = save(1).path
    torch.save([1], path / "run.pt")
    replace_file(path, "run.pt")
    with pytest.raises(snapshots.SnapshotDamaged, match=r"run\.pt does not hold what the manifest says"):
        snapshots.read(path)
