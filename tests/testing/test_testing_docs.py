"""The blocks of docs/testing.md are files: they are written to disk and run as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hookloop.testing import PluginContract

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"


@pytest.fixture
def project(tmp_path):
    """The plugin of the page, installed, with its tests."""
    for name, code in re.findall(r"```python\n# (\S+\.py)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        (tmp_path / name).write_text(code)
    info = tmp_path / "heartbeat-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: heartbeat\nVersion: 1.0\nRequires-Dist: hookloop\n\n")
    (info / "entry_points.txt").write_text("[hookloop]\nheartbeat = heartbeat:Heartbeat\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    return tmp_path


def test_the_plugin_of_the_page_passes_its_tests(project):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(project), *sys.path])}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(project)]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout


def test_the_page_lists_every_clause():
    listed = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert {f"test_{clause}" for clause in listed} == {name for name in dir(PluginContract) if name.startswith("test_")}
