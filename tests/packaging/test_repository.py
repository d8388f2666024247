"""Lists that are kept by hand name everything that there is: tox.ini, tables, constraints, the changelog."""

import configparser
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))
README = (ROOT / "README.md").read_text(encoding="utf-8")

each_plugin = pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)


def document_of(folder):
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))


def constraints():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if not line.startswith("#")]


def test_every_plugin_has_an_environment_and_the_other_way_round():
    ini = configparser.ConfigParser(interpolation=None)
    ini.read(ROOT / "tox.ini")
    environments = ini["tox"]["env_list"].split()
    assert [name for name in environments if name.startswith("hookloop-")] == [path.name for path in PLUGINS]
    others = {name for name in environments if not name.startswith("hookloop-")}
    assert others <= {section.partition(":")[2] for section in ini.sections()}


@each_plugin
def test_the_readme_the_index_and_the_engine_know_the_plugin(plugin):
    known = tomllib.loads((ROOT / "engine" / "hookloop" / "known_plugins.toml").read_text(encoding="utf-8"))
    names = list(document_of(plugin)["project"]["entry-points"]["hookloop"])
    assert known[plugin.name] == names
    for name in names:
        assert re.search(
            rf"^\| \[`{name}`\]\(docs/plugins/[\w.#-]+\) \| {plugin.name} \| \S.*\|$", README, re.MULTILINE
        )


def test_the_readme_lists_no_plugin_that_does_not_exist():
    listed = re.findall(r"^\| \[`([\w-]+)`\]\(docs/plugins/", README, re.MULTILINE)
    names = [name for plugin in PLUGINS for name in document_of(plugin)["project"]["entry-points"]["hookloop"]]
    assert sorted(listed) == sorted(names)


@each_plugin
def test_a_plugin_has_readme_page_and_tests(plugin):
    assert (plugin / "README.md").is_file()
    assert (ROOT / "docs" / "plugins" / f"{plugin.name.removeprefix('hookloop-')}.md").is_file()
    assert list((plugin / "tests").glob("test_*.py"))


def test_test_files_have_names_of_their_own():
    names = [path.name for folder in ("tests", "plugins/*/tests") for path in ROOT.glob(f"{folder}/**/test_*.py")]
    assert sorted(names) == sorted({*names})


def test_constraints_are_exact_sorted_and_have_every_dependency():
    names = [canonicalize_name(each.name) for each in constraints()]
    assert names == sorted(names)
    for each in constraints():
        assert re.fullmatch(r"==[\w.]+", str(each.specifier)), each
    documents = [document_of(folder) for folder in (ROOT, *PLUGINS)]
    needed = {Requirement(each).name for document in documents for each in document["project"]["dependencies"]}
    needed |= {Requirement(each).name for document in documents for each in document["build-system"]["requires"]}
    assert {canonicalize_name(name) for name in needed} - {"hookloop", *names} == set()


def test_ci_runs_the_second_command_of_the_readme():
    _, second = re.findall(r"^python3 -m venv .*$", README, re.MULTILINE)
    assert second in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_the_lowest_versions_are_those_of_the_pyprojects():
    code = f"import runpy; m = runpy.run_path({str(ROOT / '.ci' / 'install.py')!r}); print(*m['lowest']([m['ROOT']]))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    pinned = dict(each.split("==") for each in done.stdout.split())
    assert pinned["pluggy"] == "1.7"
    assert {*pinned} == {"cyclopts", "packaging", "pluggy", "pydantic", "tomli-w"}


def test_every_fragment_of_the_changelog_has_a_known_kind():
    kinds = {each["directory"] for each in document_of(ROOT)["tool"]["towncrier"]["type"]}
    for path in (ROOT / "changelog.d").iterdir():
        if path.name != "README.md":
            name, kind, suffix = path.name.split(".")
            assert re.fullmatch(r"\d+|\+[\w-]+", name), path.name
            assert (kind in kinds, suffix) == (True, "md"), path.name
            assert path.read_text(encoding="utf-8").strip()


def test_the_changelog_has_the_place_where_releases_go():
    settings = document_of(ROOT)["tool"]["towncrier"]
    assert settings["start_string"] in (ROOT / settings["filename"]).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "README.md"])
def test_a_page_for_newcomers_stays_short(name):
    most = {"CONTRIBUTING.md": 60, "README.md": 150}
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if not line.startswith("| [`")]) <= most[name]  # without the list of plugins
