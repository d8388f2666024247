import os
import subprocess
import sys
import tomllib

import pytest

KINDS = ("observer", "actor", "provider")


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """Three generated plugins, one of each kind, installed as pip installs them; the directory of the packages."""
    root = tmp_path_factory.mktemp("packages")
    for kind in KINDS:
        command = [sys.executable, "-m", "hookloop", "plugins", "new", f"zz-{kind}", "--kind", kind, "--dir", str(root)]
        subprocess.run(command, check=True, capture_output=True)
    folders = [str(root / f"hookloop-zz-{kind}") for kind in KINDS]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    flags = ["--no-deps", "--no-build-isolation", "--target", str(root / "target")]
    subprocess.run([*pip, *flags, *folders], check=True, capture_output=True)
    return root


def test_a_package_has_all_that_it_takes(here, tmp_path):
    answer = here("plugins", "new", "lr-log", "--dir", "deep/er")
    folder = tmp_path / "deep" / "er" / "hookloop-lr-log"
    assert answer.code == 0
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == {
        "README.md",
        "pyproject.toml",
        "src/hookloop_lr_log/__init__.py",
        "src/hookloop_lr_log/py.typed",
        "tests/test_lr_log.py",
    }
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["dependencies"] == ["hookloop>=0.1,<0.2"]
    assert project["entry-points"]["hookloop"] == {"lr-log": "hookloop_lr_log:LrLog"}
    assert "pip install -e deep/er/hookloop-lr-log" in answer.out


def test_scripts_are_told_the_files(here, tmp_path):
    answer = here("plugins", "new", "lr-log", "--json").json
    assert answer["directory"] == "hookloop-lr-log"
    assert "hookloop-lr-log/pyproject.toml" in answer["files"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("LrLog", "'LrLog' is no plugin's name"),
        ("lr_log", "'lr_log' is no plugin's name"),
        ("lr--log", "'lr--log' is no plugin's name"),
        ("../log", "'../log' is no plugin's name"),
        ("hookloop-log", "hookloop plugins new log"),
        ("checkpoint", "'checkpoint' is a plugin of hookloop-checkpoint already"),
    ],
)
def test_a_name_that_cannot_be_is_refused(here, tmp_path, name, message):
    answer = here("plugins", "new", name)
    assert answer.code == 2
    assert message in answer.err
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(here, tmp_path):
    (tmp_path / "hookloop-lr-log").mkdir()
    answer = here("plugins", "new", "lr-log")
    assert answer.code == 2
    assert "hookloop-lr-log exists already" in answer.err
    assert not list((tmp_path / "hookloop-lr-log").iterdir())


def test_a_place_that_cannot_be_written_is_a_message(here, tmp_path):
    (tmp_path / "file").write_text("")
    answer = here("plugins", "new", "lr-log", "--dir", "file")
    assert answer.code == 2
    assert "Choose another place: --dir DIR." in answer.err


def test_an_unknown_kind_is_refused(here):
    answer = here("plugins", "new", "lr-log", "--kind", "listener")
    assert answer.code == 2
    assert "observer" in answer.err


def test_an_installed_one_is_listed_and_passes_its_check(hookloop, packages, row):
    variables = {"PYTHONPATH": str(packages / "target")}
    answer = hookloop("plugins", "--json", *(part for kind in KINDS for part in ("-p", f"zz-{kind}")), **variables)
    assert answer.code == 0, answer.err
    rows = answer.json
    for kind in KINDS:
        assert (row(rows, f"zz-{kind}")["state"], row(rows, f"zz-{kind}")["role"]) == ("active", kind)
        assert row(rows, f"zz-{kind}")["distribution"] == f"hookloop-zz-{kind}"
        assert hookloop("plugins", "check", f"zz-{kind}", **variables).code == 0


def test_their_own_tests_pass(packages):
    tests = [str(packages / f"hookloop-zz-{kind}" / "tests") for kind in KINDS]
    command = [sys.executable, "-m", "pytest", "-q", "--import-mode=importlib", "-p", "no:cacheprovider", *tests]
    variables = {**os.environ, "PYTHONPATH": str(packages / "target")}
    done = subprocess.run(command, cwd=packages, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("tool", ["check --select=E,F,I,B,D1,ANN,UP --ignore=D107", "format --check"])
def test_their_code_is_clean(packages, tool):
    pytest.importorskip("ruff")
    sources = [packages / f"hookloop-zz-{kind}" / "src" for kind in KINDS]
    command = [sys.executable, "-m", "ruff", *tool.split(), "--isolated", "--line-length=120", *sources]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
