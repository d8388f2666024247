"""What is in the wheels: the code, its data and nothing else."""

import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """The wheel of each distribution, by its name."""
    folder = tmp_path_factory.mktemp("wheels")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([*command, str(ROOT), *map(str, PLUGINS)], check=True)
    return {path.name.partition("-")[0].replace("_", "-"): zipfile.ZipFile(path) for path in folder.glob("*.whl")}


def files_of(wheel):
    return {name for name in wheel.namelist() if ".dist-info/" not in name}


def text_of(wheel, name):
    (path,) = (each for each in wheel.namelist() if each.endswith(f".dist-info/{name}"))
    return wheel.read(path).decode()


def sources_of(folder):
    return {
        str(path.relative_to(folder.parent)).replace("\\", "/")
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith((".", "__pycache__")) for part in path.relative_to(folder).parts)
    }


def test_the_engine_is_hookloop_with_all_of_its_files_and_no_other(wheels):
    assert files_of(wheels["hookloop"]) == sources_of(ROOT / "engine" / "hookloop")


def test_the_engine_brings_its_data_and_says_that_it_is_typed(wheels):
    names = files_of(wheels["hookloop"])
    assert {"hookloop/py.typed", "hookloop/known_plugins.toml", "hookloop/templates/pyproject.toml.tmpl"} <= names


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_a_plugin_is_its_module_and_nothing_else(wheels, plugin):
    module = plugin.name.replace("-", "_")
    names = files_of(wheels[plugin.name])
    assert names == sources_of(plugin / "src" / module)
    assert f"{module}/py.typed" in names


@pytest.mark.parametrize("name", ["hookloop", *(path.name for path in PLUGINS)])
def test_a_wheel_has_licence_readme_and_python_version(wheels, name):
    metadata = Parser().parsestr(text_of(wheels[name], "METADATA"))
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "Apache License" in text_of(wheels[name], "licenses/LICENSE")
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_payload().startswith(f"# {name}")


def test_the_engine_has_its_command_and_its_fixtures(wheels):
    entry_points = text_of(wheels["hookloop"], "entry_points.txt")
    assert "hookloop = hookloop.__main__:main" in entry_points
    assert "hookloop = hookloop.testing.fixtures" in entry_points
