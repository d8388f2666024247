"""The README's first command, as it stands, in a copy of what is under version control."""

import json
import os
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOT_IN_A_CLONE = shutil.ignore_patterns(".*", "runs", "build", "dist", "__pycache__", "*.egg-info")


def torch_at_hand():
    """Let pip take the torch of tox's environment `base` for installed: another one is a gigabyte."""
    if "TOX_WORK_DIR" not in os.environ:
        return {}
    base = f"{os.environ['TOX_WORK_DIR']}/base"
    return {"PYTHONPATH": sysconfig.get_path("purelib", vars={"base": base, "platbase": base})}


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A directory with the checkout's files, after the command."""
    folder = tmp_path_factory.mktemp("quickstart") / "hookloop"
    shutil.copytree(ROOT, folder, ignore=NOT_IN_A_CLONE)
    command, _ = re.findall(r"^python3 -m venv .*$", (folder / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    environment = {name: value for name, value in os.environ.items() if name != "PIP_CONSTRAINT"} | torch_at_hand()
    done = subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def rows_of(folder):
    lines = (folder / "runs" / "digits" / "latest" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_the_digits_are_learnt(clone):
    assert rows_of(clone)[-1]["val/accuracy"] > 0.97


def test_every_epoch_is_in_the_table_that_the_plugin_wrote(clone):
    table = (clone / "runs" / "digits" / "latest" / "metrics.csv").read_text(encoding="utf-8").splitlines()
    assert "val/accuracy" in table[0]
    assert len(table) - 1 == len({row["step"] for row in rows_of(clone)})


def test_the_record_of_the_run_is_complete(clone):
    record = json.loads((clone / "runs" / "digits" / "latest" / "run.json").read_text(encoding="utf-8"))
    assert record["outcome"] == "completed"
    assert record["seed"] == 7
    assert [each["plugin"] for each in record["plugins"]] == ["csv", "progress"]
