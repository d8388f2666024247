"""Code on the pages is run as it stands: files are written, Python is executed, TOML is checked, commands are called.

docs/hooks.md and docs/testing.md have tests of their own, and the README's two commands the environment `quickstart`.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

from hookloop.config import load_config
from hookloop.draft import read_draft

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FILE_NAME = re.compile(r"# ([\w./-]+\.(?:py|toml))\n")

README = ROOT / "README.md"
TUTORIAL = ROOT / "docs" / "plugin-tutorial.md"
TESTED_ELSEWHERE = [ROOT / "docs" / "hooks.md", ROOT / "docs" / "testing.md"]
FOLDERS = ("docs", "docs/plugins", "plugins/*", "examples", ".")
PAGES = sorted({page for folder in FOLDERS for page in ROOT.glob(f"{folder}/*.md")} - {*TESTED_ELSEWHERE})


class Block(NamedTuple):
    """A fenced block; ``file`` is the name in its first line, if there is one."""

    language: str
    code: str
    line: int
    file: str


def blocks_of(page, language=""):
    text = page.read_text(encoding="utf-8")
    blocks = []
    for match in BLOCK.finditer(text):
        name = FILE_NAME.match(match[2])
        blocks.append(Block(match[1], match[2], text[: match.start(2)].count("\n") + 1, name[1] if name else ""))
    return [block for block in blocks if language in ("", block.language)]


def with_blocks(test):
    """Return the parameters of a test of single pages: those for which *test* holds."""
    return [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES if test(page)]


def write_files(page, folder):
    for block in blocks_of(page):
        if block.file:
            path = folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.code, encoding="utf-8")


def commands_of(page):
    """Return the lines of the shell blocks that call a program of ours, without their comments."""
    lines = [line for block in blocks_of(page, "sh") for line in block.code.splitlines()]
    return [re.sub(r"\s{2,}#.*", "", line) for line in lines if line.startswith(("hookloop ", "pytest ", "pip "))]


def call(command, folder, *modules):
    """Run *command* as a shell in *folder* does, with the programs of this environment; return what it printed."""
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    paths = os.pathsep.join([*map(str, modules), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PATH": programs, "PYTHONPATH": paths, "COLUMNS": "100"}
    done = subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture
def place(tmp_path):
    """A directory with the files of the README's run and the examples in it."""
    write_files(README, tmp_path)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    shutil.copy(ROOT / "examples" / "digits.py", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "page", with_blocks(lambda page: any(not block.file for block in blocks_of(page, "python")) and page != TUTORIAL)
)
def test_the_python_of_a_page_runs_from_top_to_bottom(page, place):
    write_files(page, place)
    script = place / "page.py"
    script.write_text("\n".join(block.code for block in blocks_of(page, "python") if not block.file), encoding="utf-8")
    call(f'"{sys.executable}" -W error page.py', place)


@pytest.mark.parametrize("page", with_blocks(lambda page: blocks_of(page, "toml") and page != TUTORIAL))
def test_the_toml_of_a_page_is_right_to_its_last_key(page, place):
    write_files(page, place)
    for number, block in enumerate(blocks_of(page, "toml")):
        tomllib.loads(block.code)
        path = place / (block.file or f"block-{number}.toml")
        path.write_text(block.code, encoding="utf-8")
        # A block that is a part of a file is laid over a whole one.
        tree = load_config([path] if block.file else [place / "run.toml", path])
        error = read_draft(tree, environ={}).error()
        assert error is None, f"{page.relative_to(ROOT)}:{block.line}: {error}"


@pytest.mark.parametrize("page", with_blocks(lambda page: commands_of(page) and page != TUTORIAL))
def test_the_commands_of_a_page_work(page, place):
    write_files(page, place)
    for command in commands_of(page):
        if not command.startswith("pip "):
            call(command, place)


def test_the_plugin_of_the_tutorial_becomes_a_package_that_passes_its_tests(place, tmp_path_factory):
    write_files(TUTORIAL, place)
    (fragment,) = (block.code for block in blocks_of(TUTORIAL, "toml") if not block.file)
    (place / "fragment.toml").write_text(fragment, encoding="utf-8")
    installed = tmp_path_factory.mktemp("installed")
    commands = commands_of(TUTORIAL)
    install = commands.index("pip install -e hookloop-spikes")
    # Into a folder of its own, as nothing is to stay in this environment.
    pip = (
        f'"{sys.executable}" -m pip install -q --no-deps --no-build-isolation --target "{installed}" ./hookloop-spikes'
    )
    for command in [*commands[:install], pip]:
        call(command, place)
    printed = {command: call(command, place, installed) for command in commands[install + 1 :]}
    assert "How many times the median makes a spike." in printed["hookloop plugins show spikes"]
    assert re.search(r"\d+ passed", printed["pytest hookloop-spikes"])
    assert "spikes" in call("hookloop check examples/digits.toml -c fragment.toml", place, installed)


def test_every_page_with_code_is_tested():
    with_code = {page for page in ROOT.rglob("*.md") if "```python" in page.read_text(encoding="utf-8")}
    hidden = {page for page in with_code if any(part.startswith(".") for part in page.relative_to(ROOT).parts)}
    assert with_code - hidden <= {*PAGES, *TESTED_ELSEWHERE}
