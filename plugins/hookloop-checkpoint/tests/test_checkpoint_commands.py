"""`hookloop checkpoint` in processes of its own, on what one run has left."""

import json
import shutil
import subprocess
import sys

import pytest
import torch

from hookloop import snapshots


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The directory of a run with two instances, one of which looks for the best."""
    from hookloop.testing import TinyRun

    options = {"use": "checkpoint", "monitor": "val/loss", "weights_only": True}
    run_dir = tmp_path_factory.mktemp("trained") / "run"
    TinyRun(run_dir.parent)([("checkpoint", {"every": "2 steps"}), ("best", options)], epochs=2, run_dir=run_dir)
    return run_dir


@pytest.fixture
def run_dir(trained, tmp_path):
    """A copy of that directory."""
    return shutil.copytree(trained, tmp_path / "run")


REPORTING = """
import sys
from hookloop.__main__ import main
try:
    sys.exit(main())
finally:
    print("torch" in sys.modules, file=sys.stderr)
"""


def call(*words):
    """Return the exit code, what was printed, and whether torch was imported."""
    command = [sys.executable, "-c", REPORTING, "checkpoint", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    *errors, with_torch = done.stderr.splitlines()
    return done.returncode, done.stdout, "\n".join(errors), with_torch == "True"


def here(capsys, *words):
    """Run the command in this process, where torch is imported already; return the exit code and what was printed."""
    from hookloop.cli.main import run

    capsys.readouterr()
    code = run(["checkpoint", *map(str, words)])
    return code, *capsys.readouterr()


def damage(path):
    """Flip one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_ls_shows_every_snapshot_newest_first_without_torch(run_dir):
    code, out, err, with_torch = call("ls", run_dir)
    assert (code, err, with_torch) == (0, "", False)
    header, *rows = out.splitlines()
    assert header.split() == ["step", "epoch", "kind", "size", "saved", "at", "state", "metric", "snapshot"]
    assert [row.split()[0] for row in rows] == ["6", "6", "4", "3", "2"]
    assert [row.split()[-1] for row in rows[-2:]] == ["best/step-00000003", "checkpoint/step-00000002"]
    assert sum("(best)" in row for row in rows) == 1
    assert "val/loss=" in rows[-2]


def test_ls_is_json_for_a_script_and_a_damaged_one_is_an_exit_code(run_dir, capsys):
    damage(run_dir / "checkpoints" / "best" / "step-00000006" / "model.pt")
    (run_dir / "checkpoints" / "checkpoint" / "husk").mkdir()
    code, out, _ = here(capsys, "ls", run_dir, "--json")
    rows = {row["path"].rpartition("/")[2]: row for row in json.loads(out) if row["instance"] == "checkpoint"}
    assert code == 1
    assert rows["husk"]["state"] == "damaged"
    assert rows["step-00000006"]["state"] == "complete"
    assert rows["step-00000006"]["step"] == 6
    assert rows["step-00000006"]["size_bytes"] > 1000
    code, out, _ = here(capsys, "ls", run_dir, "--json", "--verify")
    (damaged,) = [row for row in json.loads(out) if row["instance"] == "best" and row["state"] == "damaged"]
    assert (code, damaged["step"], damaged["best"]) == (1, 6, False)
    assert damaged["faults"] == ["model.pt: checksum differs"]


def test_verify_names_what_is_damaged_and_how_without_torch(run_dir):
    place = run_dir / "checkpoints" / "checkpoint"
    damage(place / "step-00000004" / "model.pt")
    (place / "step-00000002" / "rng.pt").unlink()
    code, out, _, with_torch = call("verify", run_dir)
    assert (code, with_torch) == (1, False)
    lines = out.splitlines()
    assert f"valid  {place / 'step-00000006'}" in lines
    assert lines[lines.index(f"damaged  {place / 'step-00000004'}") + 1] == "  model.pt: checksum differs"
    assert lines[lines.index(f"damaged  {place / 'step-00000002'}") + 1] == "  rng.pt: missing"


@pytest.mark.parametrize("spoil", [lambda path: None, lambda path: (path / "MANIFEST.json").unlink()])
def test_verify_takes_a_single_snapshot(run_dir, capsys, spoil):
    path = run_dir / "checkpoints" / "checkpoint" / "step-00000006"
    spoil(path)
    whole = (path / "MANIFEST.json").exists()
    code, out, _ = here(capsys, "verify", path, "--json")
    (row,) = json.loads(out)
    assert (code, row["state"]) == ((0, "valid") if whole else (1, "damaged"))
    assert row["instance"] == "checkpoint"


def test_nothing_on_disk_is_changed_by_looking(run_dir, capsys):
    damage(run_dir / "checkpoints" / "checkpoint" / "step-00000006" / "model.pt")
    before = sorted(run_dir.rglob("*"))
    here(capsys, "ls", run_dir, "--verify")
    here(capsys, "verify", run_dir)
    assert sorted(run_dir.rglob("*")) == before


def test_what_is_neither_a_run_nor_a_snapshot_is_a_wrong_command(tmp_path, capsys):
    code, _, err = here(capsys, "ls", tmp_path)
    assert code == 2
    assert "is no snapshot, and has no checkpoints: name a run directory" in err


def test_a_run_without_snapshots_is_said_to_have_none(tmp_path, capsys):
    (tmp_path / "checkpoints").mkdir()
    assert here(capsys, "ls", tmp_path)[:2] == (0, "no snapshots\n")


def test_export_writes_the_weights_of_the_newest_in_a_process_of_its_own(run_dir, tmp_path):
    target = tmp_path / "weights.pt"
    code, out, _, _ = call("export", run_dir, target)
    newest = snapshots.find(run_dir)[0].path
    assert (code, out) == (0, f"wrote {target} from {newest}\n")
    weights = torch.load(target, weights_only=True)
    state = snapshots.read(newest, parts=["model"])["model"]
    assert all(torch.equal(weights[name], each) for name, each in state.items())


def test_export_writes_safetensors_of_the_best(run_dir, tmp_path, capsys):
    safetensors = pytest.importorskip("safetensors.torch")
    code, out, _ = here(capsys, "export", run_dir, tmp_path / "best.safetensors", "--best", "--json")
    best = run_dir / "checkpoints" / "best" / "step-00000006"
    assert (code, json.loads(out)["snapshot"]) == (0, str(best))
    weights = safetensors.load_file(tmp_path / "best.safetensors")
    assert {*weights} == {*snapshots.read(best, parts=["model"])["model"]}


def test_export_of_a_run_takes_the_one_before_a_damaged_one_and_says_so(run_dir, tmp_path, capsys):
    for each in snapshots.find(run_dir):
        if each.step == 6:
            damage(each.path / "model.pt")
    code, out, err = here(capsys, "export", run_dir, tmp_path / "weights.pt")
    assert code == 0
    assert "step-00000004" in out
    assert err.count("Trying the one before.") == 2


def test_export_of_a_snapshot_that_is_damaged_never_takes_another(run_dir, tmp_path, capsys):
    path = run_dir / "checkpoints" / "checkpoint" / "step-00000006"
    damage(path / "model.pt")
    code, _, err = here(capsys, "export", path, tmp_path / "weights.pt")
    assert code == 1
    assert "model.pt: checksum differs" in err
    assert not (tmp_path / "weights.pt").exists()


def test_export_replaces_a_file_only_when_it_is_told_to(run_dir, tmp_path, capsys):
    target = tmp_path / "weights.pt"
    target.write_text("precious")
    code, _, err = here(capsys, "export", run_dir, target)
    assert (code, target.read_text()) == (2, "precious")
    assert "Replace it with --overwrite" in err
    assert here(capsys, "export", run_dir, target, "--overwrite")[0] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["weights.onnx"], "has to end in .safetensors or .pt"),
        (["weights.pt", "--best"], "has no snapshot that is the best by a monitor"),
    ],
)
def test_what_cannot_be_exported_says_why(run_dir, tmp_path, capsys, words, message):
    shutil.rmtree(run_dir / "checkpoints" / "best")
    code, _, err = here(capsys, "export", run_dir, tmp_path / words[0], *words[1:])
    assert code == 1
    assert message in err


def test_it_is_listed_in_the_help(capsys):
    from hookloop.cli.main import run

    assert run(["--help"]) == 0
    assert "checkpoint" in capsys.readouterr().out
    assert run(["checkpoint", "--help"]) == 0
    assert {"ls", "verify", "export"} <= {*capsys.readouterr().out.split()}
