"""The rules of the house, as far as a program can read them in the sources."""

import ast
import importlib
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
ENGINE = ROOT / "engine" / "hookloop"
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))
ENGINE_SOURCES = sorted(ENGINE.rglob("*.py"))
PLUGIN_SOURCES = [path for plugin in PLUGINS for path in sorted((plugin / "src").rglob("*.py"))]

# Modules whose `__all__` plugins may import from; `hookloop.testing` is for their tests.
PUBLIC = ("hookloop", "hookloop.commands", "hookloop.loggers", "hookloop.schedules", "hookloop.snapshots")

# torch comes with the engine, pydantic-core with pydantic; pytest is there when it loads the engine's fixtures, and
# numpy when its random numbers are put back to where they were.
COMES_ALONG = {"torch", "pydantic-core", "pytest", "numpy"}

MOST_LINES = 60
NO_WORK = (ast.For, ast.While, ast.With, ast.Try, ast.ListComp, ast.SetComp, ast.DictComp, ast.Await, ast.Import)
NO_CALLS = {"open", "start", "mkdir", "unlink", "connect", "run", "Popen", "import_module"}
NO_CALLS |= {f"{verb}{what}" for verb in ("read", "write") for what in ("", "_text", "_bytes")}
NO_CALLS |= {"exists", "is_file", "is_dir", "iterdir", "glob", "rglob", "stat", "resolve", "touch", "rename", "rmdir"}

each_plugin = pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
each_source = pytest.mark.parametrize(
    "path", [*ENGINE_SOURCES, *PLUGIN_SOURCES], ids=lambda path: str(path.relative_to(ROOT))
)


def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imports_of(path):
    """Yield the dotted module and the name of each absolute import; no name for ``import module``."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from ((node.module, alias.name) for alias in node.names)


def project_of(folder):
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def names_of(plugin):
    return list(project_of(plugin)["entry-points"]["hookloop"])


def functions_in(tree):
    return [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


@each_plugin
def test_a_plugin_imports_only_public_names_of_the_engine(plugin):
    for path in sorted((plugin / "src").rglob("*.py")):
        for module, name in imports_of(path):
            if module.partition(".")[0] == "hookloop":
                assert module in PUBLIC, f"{path}: {module} is not public"
                public = {*importlib.import_module(module).__all__, *(PUBLIC if module == "hookloop" else ())}
                assert {name, f"hookloop.{name}"} & public, f"{path}: {module}.{name} is not public"


@each_plugin
def test_a_plugin_imports_no_other_plugin(plugin):
    own = plugin.name.replace("-", "_")
    for path in sorted(plugin.rglob("*.py")):
        for module, _ in imports_of(path):
            root = module.partition(".")[0]
            assert not root.startswith("hookloop_") or root == own, f"{path} imports {module}"


@pytest.mark.parametrize("folder", [ROOT, *PLUGINS], ids=lambda path: path.name)
def test_everything_imported_is_declared(folder):
    sources = ENGINE_SOURCES if folder == ROOT else sorted((folder / "src").rglob("*.py"))
    declared = {canonicalize_name(Requirement(each).name) for each in project_of(folder)["dependencies"]}
    declared |= {"hookloop", *COMES_ALONG}
    providers = importlib.metadata.packages_distributions()
    for path in sources:
        for module, _ in imports_of(path):
            root = module.partition(".")[0]
            if root in sys.stdlib_module_names or root == folder.name.replace("-", "_") or root == "hookloop":
                continue
            found = {canonicalize_name(name) for name in providers.get(root, [root])}
            assert found & declared, f"{path} imports {root}, of {found}, which is not among the dependencies"


@each_plugin
def test_a_plugin_logs_under_its_own_name(plugin):
    allowed = {f"hookloop.{name}" for name in [*names_of(plugin), plugin.name.removeprefix("hookloop-")]}
    for path in sorted((plugin / "src").rglob("*.py")):
        loggers = re.findall(r'getLogger\("([^"]*)"\)', path.read_text(encoding="utf-8"))
        assert {*loggers} <= allowed, path


def contracts_in(path):
    """Yield the name of the plugin that each subclass of `PluginContract` is about."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base).endswith("PluginContract") for base in node.bases):
            body = "\n".join(map(ast.unparse, node.body))
            yield from re.findall(r"^plugin\b.* = '([\w-]+)'$", body, re.MULTILINE)


@each_plugin
def test_every_plugin_is_tested_by_the_contract(plugin):
    tested = {name for path in sorted((plugin / "tests").glob("test_*.py")) for name in contracts_in(path)}
    assert {*names_of(plugin)} <= tested


@each_source
def test_no_function_is_longer_than_a_page(path):
    lengths = {f"{node.name}:{node.lineno}": node.end_lineno - node.lineno + 1 for node in functions_in(tree_of(path))}
    assert {name: length for name, length in lengths.items() if length > MOST_LINES} == {}


@each_source
def test_constructors_assign_and_do_no_work(path):
    for function in functions_in(tree_of(path)):
        if function.name != "__init__":
            continue
        for node in ast.walk(function):
            where = f"{path}:{getattr(node, 'lineno', function.lineno)}"
            assert not isinstance(node, NO_WORK), where
            if isinstance(node, ast.Call):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                assert called not in NO_CALLS, f"{where}: {called}"


@each_source
def test_nothing_is_left_for_later(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\b(TODO|FIXME|XXX|NotImplementedError)\b", text)


def test_importing_what_an_entry_point_names_imports_no_torch():
    values = [value for plugin in PLUGINS for value in project_of(plugin)["entry-points"]["hookloop"].values()]
    modules = ", ".join(sorted({value.partition(":")[0] for value in values}))
    code = f"import sys, {modules}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_hookloop_imports_nothing_heavy():
    code = "import sys, hookloop; assert not {'torch', 'pydantic', 'cyclopts', 'rich'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", code], check=True)
