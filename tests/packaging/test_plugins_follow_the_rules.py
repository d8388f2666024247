"""What keeps the engine and its plugins apart: names that the engine must not know, and imports that must wait."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENGINE = ROOT / "engine" / "hookloop"
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))
KNOWN = tomllib.loads((ENGINE / "known_plugins.toml").read_text(encoding="utf-8"))

# Words of the engine's own that are also a plugin's name, and the files that need them.
INNOCENT = {
    "metrics": ("**/*.py",),  # a table of the configuration, and what a run keeps
    "schedules": ("run.py", "state.py"),  # an attribute of the run, and its part of the state
    "monitor": ("build.py", "cli/trial.py"),  # the key that names the metric which a schedule follows
    "progress": ("build.py", "cli/trial.py"),  # the first argument of a schedule: how much of its period is over
    "losses": ("testing/evidence.py",),  # what two runs are compared by
    "parameters": ("cli/trial.py",),  # how many numbers a model has
    "predictions": ("testing/evidence.py",),
    "summary": ("reference.py", "cli/plugins.py", "cli/scaffold.py"),  # the first sentence of what something is
}

each_plugin = pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)


def project_of(plugin):
    return tomllib.loads((plugin / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def entry_points_of(plugin):
    return project_of(plugin)["entry-points"]["hookloop"]


def plugin_names():
    """The names of all plugins, those that are to come included: a word that is free today stays free for them."""
    return {name for names in KNOWN.values() for name in names} | {
        name for plugin in PLUGINS for name in entry_points_of(plugin)
    }


def strings_of(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def innocent(word):
    """The files of the engine in which *word* has a meaning of its own."""
    return {path for pattern in INNOCENT.get(word, ()) for path in ENGINE.glob(pattern)}


def test_no_string_of_the_engine_is_the_name_of_a_plugin():
    names = plugin_names()
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text!r}"
        for path in sorted(ENGINE.rglob("*.py"))
        for line, text in strings_of(path)
        if text in names and path not in innocent(text)
    ]
    assert found == []


@pytest.mark.parametrize("word", INNOCENT)
def test_a_word_is_innocent_only_where_the_engine_uses_it(word):
    assert word in plugin_names()
    assert any(text == word for path in innocent(word) for _, text in strings_of(path))


def test_no_file_of_the_engine_speaks_of_a_distribution_a_module_or_a_table_of_a_plugin():
    distributions = "|".join(sorted({*KNOWN, *(plugin.name for plugin in PLUGINS)})).replace("-", "[-_]")
    named = re.compile(rf"\b({distributions})\b|\bplugins\.({'|'.join(sorted(plugin_names()))})\b")
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sorted([*ENGINE.rglob("*.py"), *ENGINE.rglob("*.tmpl")])
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if named.search(line)
    ]
    assert found == []


def imported_at_the_top(path):
    """Yield line, module and name of each import that runs when the file is imported."""
    waiting = list(ast.parse(path.read_text(encoding="utf-8")).body)
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            waiting += ast.iter_child_nodes(node)


def files_of(module, source):
    """The files that run when the dotted *module* is imported: those of its packages, and its own."""
    parts = module.split(".")
    paths = [source.joinpath(*parts[:count]) for count in range(1, len(parts) + 1)]
    return [each for path in paths for each in (path / "__init__.py", path.with_suffix(".py")) if each.is_file()]


@each_plugin
def test_no_import_on_the_way_to_an_entry_point_is_of_torch(plugin):
    waiting = [value.partition(":")[0] for value in entry_points_of(plugin).values()]
    seen, found = set(), []
    while waiting:
        for path in {*files_of(waiting.pop(), plugin / "src")} - seen:
            seen.add(path)
            for line, module, name in imported_at_the_top(path):
                waiting += [module, f"{module}.{name}"]
                if module.partition(".")[0] in ("torch", "torchvision", "torchmetrics"):
                    found.append(f"{path.relative_to(ROOT)}:{line}: {module}")
    assert seen
    assert found == []


@each_plugin
def test_what_switches_itself_on_is_a_plugin_of_the_same_distribution(plugin):
    assert {*project_of(plugin)["entry-points"].get("hookloop.autoload", {})} <= {*entry_points_of(plugin)}


def test_no_name_is_listed_for_two_distributions():
    names = [name for names in KNOWN.values() for name in names]
    assert len(names) == len({*names})
