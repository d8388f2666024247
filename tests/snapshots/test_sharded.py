"""A model that is shared out between two processes: all of them write its snapshots, and any number reads them."""

import importlib.util
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hookloop import Engine, SnapshotError, SupervisedTask, snapshots
from hookloop.errors import ConfigError, SnapshotDamaged
from hookloop.snapshots.safe_metadata import read_metadata

WORKER = Path(__file__).with_name("sharded_worker.py")

pytestmark = pytest.mark.timeout(150)


def load_worker():
    spec = importlib.util.spec_from_file_location("sharded_worker", WORKER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


worker = load_worker()


def variables(**more):
    return (
        os.environ
        | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "", "HOOKLOOP_PLUGINS": "sharded,save,watch,average"}
        | more
    )


def train_alone(*, task=lambda: worker.task(0, 1), resume=None, **keywords):
    """Train in this process alone what the others share out; return the result, and what it began with."""
    watch = worker.Watch()
    plugins = [("save", worker.Save()), ("watch", watch)]
    options = {"optimizer": ("adamw", {"lr": 0.01}), "loss": "mse", "device": "cpu", "log_every": "1 step"}
    return Engine(task, plugins=plugins, **options, **keywords).fit(resume=resume), watch.seen


@pytest.fixture(scope="module", autouse=True)
def _only_what_is_given():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOOKLOOP_PLUGINS", "save,watch")
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Where two ranks, started by torchrun, have trained: one launch for all tests, since it takes seconds."""
    folder = tmp_path_factory.mktemp("sharded")
    train_alone(run_dir=folder / "one", max_epochs=1)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    finished = subprocess.run(
        [*launcher, str(WORKER), str(folder), "scenarios"],
        env=variables(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return folder


@pytest.fixture(scope="module")
def ranks(place):
    """What each rank has seen."""
    return [json.loads((place / f"scenarios-{rank}.json").read_text()) for rank in range(2)]


def snapshot(place, run, step):
    return place / run / "checkpoints" / "save" / f"step-{step:08}"


def test_a_run_that_was_stopped_ends_as_one_that_never_was(ranks):
    for seen in ranks:
        whole, resumed = seen["whole"], seen["resumed"]
        assert "RuntimeError: the plug was pulled." in seen["cut"]["error"]
        assert (resumed["from"], resumed["attempt"]) == ("step-00000008", 1)
        assert resumed["rows"][8:] == whole["rows"][8:]
        assert resumed["model"] == whole["model"]
        assert resumed["optimizers"] == whole["optimizers"]
    assert ranks[0]["resumed"]["rows"] == ranks[0]["whole"]["rows"]  # those of metrics.jsonl, which are rank 0's


def test_what_each_rank_has_to_itself_comes_back_to_it(ranks):
    first, second = (seen["resumed"]["model"] for seen in ranks)
    assert first["1.running_mean"] != second["1.running_mean"]
    assert first["0.weight"] == second["0.weight"]


def test_the_parts_lie_beside_the_rest_and_are_in_the_manifest(place):
    path = snapshot(place, "whole", 4)
    names = {f"sharded/{each.name}" for each in (path / "sharded").iterdir()}
    assert names == {"sharded/.metadata", "sharded/__0_0.distcp", "sharded/__1_0.distcp"}
    assert names < set(snapshots.read_manifest(path).files)
    assert snapshots.verify(path) == []


def test_one_process_reads_what_two_have_written(place, ranks):
    state, (first, _) = snapshots.read(snapshot(place, "whole", 12)), ranks
    assert all(type(each) is torch.Tensor for each in state["model"].values())
    assert worker.whole(state["model"]) == first["whole"]["model"]
    assert worker.whole(state["optimizers"]) == first["whole"]["optimizers"]


def test_one_process_goes_on_at_the_same_sample(place, ranks, tmp_path, caplog):
    result, begun = train_alone(run_dir=tmp_path / "one", max_epochs=1, resume=snapshot(place, "cut", 4))
    assert begun["batch_index"] == 8
    assert result.samples - snapshots.read_manifest(snapshot(place, "cut", 4)).samples == 48 - 4 * 8
    assert begun["begun"] == worker.whole(snapshots.read(snapshot(place, "cut", 4))["model"])
    assert "world_size 2 then and 1 now" in caplog.text
    assert json.loads((tmp_path / "one" / "run.json").read_text())["exact"] is False


def test_a_place_that_other_processes_cannot_have_is_refused(place, tmp_path):
    loader = torch.utils.data.DataLoader(worker.dataset(), worker.SIZE, shuffle=True)
    with pytest.raises(ConfigError, match=r"middle of an epoch by 2 processes, and now there are 1: .*RandomSampler"):
        train_alone(
            task=lambda: SupervisedTask(worker.model(), train=loader, val=None),
            run_dir=tmp_path / "one",
            max_epochs=1,
            resume=snapshot(place, "cut", 4),
        )


def test_two_processes_share_out_what_one_has_written(place, ranks):
    one = snapshots.read(snapshot(place, "one", 12))
    for seen in ranks:
        assert seen["from one"]["from"] == "step-00000012"
        assert seen["from one"]["begun"] == worker.whole(one["model"])
        assert seen["from one"]["step"] > 12


def test_a_damaged_part_makes_all_ranks_take_the_older_one(place, ranks):
    assert [seen["damaged"]["from"] for seen in ranks] == ["step-00000006"] * 2
    assert ranks[0]["damaged"]["model"] == ranks[0]["whole"]["model"]
    hidden = [each.name for each in (place / "damaged" / "checkpoints" / "save").glob(".*")]
    assert hidden == [".bad-step-00000008"]


def test_ranks_that_cannot_talk_yet_are_told_to_name_the_directory(ranks):
    for rank, seen in enumerate(ranks):
        assert seen["no group"]["error"].startswith(f"this is rank {rank} of 2, and there is no process group yet")
        assert "--run-dir" in seen["no group"]["error"]


def test_a_new_directory_is_the_same_for_all_ranks(place, ranks):
    first, second = (seen["agreed"]["directory"] for seen in ranks)
    assert first == second
    assert len([each for each in Path(first).parent.iterdir() if not each.is_symlink()]) == 1


def test_the_newest_run_is_found_by_the_first_rank_for_all(ranks):
    assert [seen["latest"]["from"] for seen in ranks] == ["step-00000006"] * 2
    assert [seen["latest"]["directory"] for seen in ranks] == [str(Path(ranks[0]["agreed"]["directory"]).resolve())] * 2


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("plugin", "state['plugins']['ema']['state']['weight'] is a DTensor, and only those of the model"),
        ("partial", "model.weight is a DTensor of sums that were not added up yet"),
        ("gone", "FileNotFoundError: the snapshot "),
        ("unsavable on rank 0", "state['more'] is a builtins.object, which cannot be read back"),
    ],
)
def test_what_cannot_be_written_is_an_error_on_all_ranks(ranks, what, said):
    for seen in ranks:
        assert seen["unsaved"][what].startswith(said)
        assert seen["unsaved"]["left"] == []


def test_a_plugin_whose_state_is_shared_out_is_an_error_on_all_ranks_when_it_is_saved(ranks):
    for seen in ranks:
        assert "state['plugins']['average']['state']['average'] is a DTensor" in seen["average"]["error"]


@pytest.mark.parametrize("name", [".metadata", "__0_0.distcp", "__1_0.distcp"])
def test_a_flipped_byte_of_any_part_is_found(place, name):
    path = snapshot(place, "whole", 4)
    worker.flip(path / "sharded" / name)
    try:
        assert snapshots.verify(path) == [f"sharded/{name}: checksum differs"]
        with pytest.raises(SnapshotDamaged, match="checksum differs"):
            snapshots.read(path, parts=["model"])
    finally:
        worker.flip(path / "sharded" / name)


def test_a_part_that_is_missing_or_strange_is_found(place, tmp_path):
    path = snapshot(place, "whole", 4)
    stranger, part = path / "sharded" / "stranger", path / "sharded" / "__1_0.distcp"
    stranger.touch()
    part.rename(tmp_path / "part")
    try:
        assert snapshots.verify(path) == ["sharded/stranger: not in the manifest", "sharded/__1_0.distcp: missing"]
    finally:
        stranger.unlink()
        (tmp_path / "part").rename(part)


@pytest.mark.parametrize("ending", [".pt", ".safetensors"])
def test_the_weights_are_exported_to_one_file(place, tmp_path, ending):
    if ending == ".safetensors":
        pytest.importorskip("safetensors")
    path, target = snapshot(place, "whole", 4), tmp_path / f"weights{ending}"
    snapshots.export_weights(path, target)
    if ending == ".pt":
        model = worker.model()
        model.load_state_dict(torch.load(target, weights_only=True))
        assert worker.whole(model.state_dict()) == worker.whole(snapshots.read(path)["model"])
    assert target.stat().st_size > 300


def test_the_parts_are_what_torch_itself_can_read(place, tmp_path):
    from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

    path = snapshot(place, "whole", 4)
    dcp_to_torch_save(path / "sharded", tmp_path / "all.pt")
    weights = torch.load(tmp_path / "all.pt", weights_only=True)
    assert torch.equal(weights["model.0.weight"], snapshots.read(path)["model"]["0.weight"])


class Harm:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_metadata_that_hold_code_are_refused_and_not_run(tmp_path):
    harmed, file = tmp_path / "harmed", tmp_path / ".metadata"
    file.write_bytes(pickle.dumps({"state_dict_metadata": Harm(harmed)}))
    with pytest.raises(SnapshotError, match=r"holds code \(pathlib.*\) and was not loaded"):
        read_metadata(file, set())
    assert not harmed.exists()


@pytest.mark.parametrize(
    "name", ["builtins.eval", "torch.load", "torch.distributed.checkpoint.metadata.os", "os.system"]
)
def test_no_name_but_those_of_the_metadata_is_looked_up(tmp_path, name):
    module, _, attribute = name.rpartition(".")
    file = tmp_path / ".metadata"
    file.write_bytes(f"c{module}\n{attribute}\n(S'touch {tmp_path}/harmed'\ntR.".encode())
    with pytest.raises(SnapshotError, match=f"{attribute}. and was not loaded"):
        read_metadata(file, set())


class ByName:
    """Pickled as an Enum is by Python 3.11.2, in the place of one of torch's."""

    def __reduce__(self):
        return getattr, (torch.distributed.checkpoint.metadata._MEM_FORMAT_ENCODING, "TORCH_CONTIGUOUS_FORMAT")


def test_an_enum_that_is_pickled_by_its_name_is_passed_over(tmp_path):
    file = tmp_path / ".metadata"
    file.write_bytes(pickle.dumps({"state_dict_metadata": {}, "storage_data": {}, "format": ByName()}))
    assert read_metadata(file, set()).storage_data == {}


def test_getattr_is_not_run_for_anything_else(tmp_path):
    file = tmp_path / ".metadata"
    module = "torch.distributed.checkpoint.metadata"
    file.write_bytes(f"cbuiltins\ngetattr\n(c{module}\nMetadata\nS'__init__'\ntR.".encode())
    with pytest.raises(SnapshotDamaged, match="'NoneType' object is not subscriptable"):
        read_metadata(file, set())


def test_a_class_of_torch_cannot_be_changed_by_metadata(tmp_path):
    file = tmp_path / ".metadata"
    module = "torch.distributed.checkpoint.metadata"
    file.write_bytes(f"c{module}\nMetadata\n(N(S'version'\nI3\ndtb.".encode())
    with pytest.raises(SnapshotDamaged, match="cannot be read"):
        read_metadata(file, set())


def test_metadata_that_point_to_another_file_are_refused(place):
    file = snapshot(place, "whole", 4) / "sharded" / ".metadata"
    assert read_metadata(file, {"__0_0.distcp", "__1_0.distcp"}).storage_data
    with pytest.raises(SnapshotDamaged, match=r"'__1_0\.distcp' is none of the files of this snapshot"):
        read_metadata(file, {"__0_0.distcp"})


def test_a_rank_that_is_killed_during_a_save_leaves_no_snapshot_that_counts(tmp_path):
    processes = []
    for rank in range(2):
        env = variables(RANK=str(rank), WORLD_SIZE="2", MEET=f"file://{tmp_path}/meet")
        processes.append(subprocess.Popen([sys.executable, WORKER, tmp_path, "killed"], env=env, stderr=-1, text=True))
    errors = [process.communicate(timeout=100)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, -9], errors
    seen = json.loads((tmp_path / "killed-0.json").read_text())
    assert "another rank is gone, or does not answer" in seen["error"]
    directory = tmp_path / "killed" / "checkpoints" / "save"
    assert [each.name for each in directory.iterdir()] == ["step-00000002"]
    assert snapshots.newest_valid(tmp_path / "killed").step == 2
