"""A stranger's plugins, each a distribution of its own that pip installs, seen from the outside as their users do."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("pip")
pytest.importorskip("hatchling")

PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "{version}"
dependencies = ["hookloop{engine}"]

[project.entry-points.hookloop]
{entry_points}

[tool.hatch.build.targets.wheel]
packages = ["{module}"]
"""

# What it is imported for leaves a mark, so that a test can tell that it was not.
MARK = """\
import os
from pathlib import Path

with Path(os.environ["ACME_MARK"]).open("a") as mark:
    mark.write(__name__ + "\\n")
"""

TICKER = (
    MARK
    + '''
from hookloop import PluginConfig, hookimpl


class Ticker:
    """Writes down what happens, and changes nothing."""

    role = "observer"

    class Config(PluginConfig):
        tag: str = "ticker"
        """What its lines begin with."""
        file: str = "ticks.txt"
        """Where they go."""

    def __init__(self, config):
        self.config = config
        self.steps = 0

    def tick(self, event, run):
        with Path(self.config.file).open("a") as file:
            file.write(f"{self.config.tag} {event} {run.step} {self.steps}\\n")

    @hookimpl
    def on_fit_start(self, run):
        self.tick("on_fit_start", run)

    @hookimpl
    def on_step_start(self, run):
        self.tick("on_step_start", run)

    @hookimpl(wrapper=True)
    def run_step(self, run):
        self.tick("run_step{", run)
        updated = yield
        self.tick(f"}}run_step={updated}", run)
        return updated

    @hookimpl
    def on_step_end(self, run):
        self.steps += 1
        self.tick("on_step_end", run)

    @hookimpl
    def on_metrics(self, run, metrics):
        self.tick("on_metrics:" + "+".join(sorted(metrics)), run)

    @hookimpl
    def report(self, run):
        self.tick("report", run)

    @hookimpl
    def on_epoch_end(self, run):
        self.tick("on_epoch_end", run)

    @hookimpl
    def on_fit_end(self, run):
        self.tick("on_fit_end", run)

    @hookimpl
    def on_run_end(self, run, outcome):
        self.tick(f"on_run_end:{outcome}", run)

    def state_dict(self):
        return {"steps": self.steps}

    def load_state_dict(self, state):
        self.steps = state["steps"]


class Stumbler:
    role = "observer"

    @hookimpl
    def on_step_end(self, run):
        if run.step == 2:
            raise RuntimeError("out of paper")


class Demanding:
    role = "observer"

    def __init__(self, printer):
        self.printer = printer

    @hookimpl
    def on_step_end(self, run):
        pass
'''
)

TASK = """\
import torch
from hookloop import SupervisedTask

def build():
    torch.set_num_threads(1)
    batches = [(torch.randn(4, 2), torch.tensor([0, 1, 0, 1])) for _ in range(2)]
    return SupervisedTask(torch.nn.Linear(2, 2), train=batches)
"""

CONFIG = """\
[run]
max_epochs = 1
log_every = "2 steps"
device = "cpu"

[task]
use = "task.py:build"

[loss]
use = "cross_entropy"

[optimizer]
use = "sgd"
"""
RUN = CONFIG + "\n[plugins.ticker]\n"


def write_package(folder, name, module, entry_points, code, *, version="1.0", engine=">=0.1,<1"):
    """Write the source of a distribution, and return where."""
    package = folder / name
    (package / module).mkdir(parents=True)
    (package / module / "__init__.py").write_text(code)
    lines = "\n".join(f'{plugin} = "{value}"' for plugin, value in entry_points.items())
    text = PYPROJECT.format(name=name, version=version, engine=engine, entry_points=lines, module=module)
    (package / "pyproject.toml").write_text(text)
    return package


def pip_install(target, *packages):
    words = ["install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", target, *packages]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def sites(tmp_path_factory):
    """Two directories as pip leaves them: one with the plugins, one with those that nobody can use."""
    sources, good, bad = (tmp_path_factory.mktemp(name) for name in ("sources", "good", "bad"))
    ticker = {"ticker": "acme_ticker:Ticker", "stumbler": "acme_ticker:Stumbler", "demanding": "acme_ticker:Demanding"}
    pip_install(good, write_package(sources, "acme-ticker", "acme_ticker", ticker, TICKER, version="1.4"))
    pip_install(
        bad,
        write_package(sources, "acme-old", "acme_old", {"antique": "acme_old:Antique"}, MARK, engine=">=9"),
        write_package(sources, "zoo-ticker", "zoo_ticker", {"ticker": "zoo_ticker:Ticker"}, MARK, version="2.0"),
        write_package(sources, "acme-broken", "acme_broken", {"broken": "acme_broken:Broken"}, "import acme_nowhere"),
    )
    return SimpleNamespace(good=[good], all=[good, bad])


class Outside:
    """The directory of somebody who has these plugins installed, and the command line in it."""

    def __init__(self, folder, site):
        self.folder = folder
        self.site = site
        self.mark = folder / "imported.txt"
        (folder / "task.py").write_text(TASK)
        self.write(RUN)

    def write(self, text):
        (self.folder / "run.toml").write_text(text)

    def python(self, *words, **variables):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HOOKLOOP")}
        paths = [*map(str, self.site), *filter(None, [os.environ.get("PYTHONPATH")])]
        own = {"PYTHONPATH": os.pathsep.join(paths), "ACME_MARK": str(self.mark), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, *map(str, words)]
        return subprocess.run(
            command,
            cwd=self.folder,
            env={**kept, **own, **variables},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def hookloop(self, *words, **variables):
        return self.python("-m", "hookloop", *words, **variables)

    def rows(self, *words, **variables):
        """Return what ``plugins --json`` says of each plugin, by name."""
        done = self.hookloop("plugins", "run.toml", "--json", *words, **variables)
        assert done.returncode == 0, done.stderr
        return {row["name"]: row for row in json.loads(done.stdout)}

    @property
    def imported(self):
        return self.mark.read_text().split() if self.mark.exists() else []

    @property
    def ticks(self):
        return (self.folder / "ticks.txt").read_text().splitlines()


@pytest.fixture
def outside(tmp_path, sites):
    return Outside(tmp_path, sites.good)


@pytest.fixture
def with_bad_ones(tmp_path, sites):
    return Outside(tmp_path, sites.all)


def test_an_installed_plugin_is_listed_with_its_version_and_state(outside):
    rows = outside.rows()
    ticker = rows["ticker"]
    assert (ticker["distribution"], ticker["version"], ticker["state"]) == ("acme-ticker", "1.4", "active")
    assert ticker["role"] == "observer"
    assert {"on_fit_start", "run_step", "on_step_end"} <= set(ticker["hooks"])
    assert (rows["stumbler"]["state"], rows["stumbler"]["hooks"]) == ("available", [])
    assert outside.imported == ["acme_ticker"]


def test_a_plugin_that_no_configuration_names_is_not_imported(outside):
    outside.write(CONFIG)
    assert outside.rows()["ticker"]["state"] == "available"
    assert outside.imported == []


def test_a_misspelt_option_is_an_error_with_its_line_and_a_suggestion(outside):
    outside.write(f"{RUN}tga = 'a'\n")
    line = RUN.count("\n") + 1
    done = outside.hookloop("fit", "run.toml")
    assert done.returncode == 2
    assert done.stderr.strip() == f"run.toml:{line}: plugins.ticker.tga: unknown option. Did you mean 'tag'?"
    assert not (outside.folder / "runs").exists()


@pytest.mark.parametrize(
    ("config", "words", "variables", "reason"),
    [
        (RUN, ["-p", "no:ticker"], {}, "by -p no:ticker"),
        (RUN, [], {"HOOKLOOP_DISABLE_PLUGINS": "ticker"}, "by HOOKLOOP_DISABLE_PLUGINS"),
        (RUN, [], {"HOOKLOOP_PLUGINS": ""}, "by HOOKLOOP_PLUGINS"),
        (f"{RUN}enabled = false\n", [], {}, "by run.toml:"),
    ],
)
def test_each_switch_keeps_a_plugin_from_being_imported(outside, config, words, variables, reason):
    outside.write(config)
    ticker = outside.rows(*words, **variables)["ticker"]
    assert ticker["state"] == "disabled"
    assert ticker["reason"].startswith(reason)
    assert outside.imported == []


ONE_STEP = ["on_step_start", "run_step{", "}run_step=True", "on_step_end"]
BOTH = """
[plugins]
order = ["second", "ticker"]

[plugins.second]
use = "ticker"
tag = "second"

[plugins.ticker]
tag = "first"
"""


def test_hooks_fire_in_the_order_that_is_documented(outside):
    outside.write(CONFIG + BOTH)
    done = outside.hookloop("fit", "run.toml", "--json")
    assert done.returncode == 0, done.stderr
    events = [tuple(tick.split()[:2]) for tick in outside.ticks]
    second = [event for tag, event in events if tag == "second"]
    assert second == [
        "on_fit_start",
        *ONE_STEP,
        "report",
        *ONE_STEP,
        "on_metrics:train/loss",
        "report",
        "on_epoch_end",
        "report",
        "on_fit_end",
        "on_run_end:completed",
    ]
    assert [event for tag, event in events if tag == "first"] == second
    # Listed order is call order; what wraps, and what ends, goes back in reverse.
    told = {event: [tag for tag, other in events if other == event][:2] for event in second}
    backwards = {"}run_step=True", "on_fit_end", "on_run_end:completed"}
    assert all(
        tags == (["first", "second"] if event in backwards else ["second", "first"]) for event, tags in told.items()
    )
    seconds = json.loads(done.stdout)["plugin_seconds"]
    assert set(seconds) == {"ticker", "second"}
    assert seconds["second"]["on_step_end"] > 0


RESUME = """\
import json
from hookloop import Engine
from task import build

def fit(tag, epochs, resume=None):
    engine = Engine(
        build, loss="cross_entropy", optimizer="sgd", max_epochs=epochs, device="cpu", run_dir=f"runs/{tag}",
        plugins=[("ticker", {"tag": tag})],
    )
    return engine.fit(resume=resume)

first = fit("first", 1)
second = fit("second", 3, first.state)
print(json.dumps([result.state["plugins"]["ticker"] for result in (first, second)]))
"""


def test_a_plugin_is_asked_for_its_state_and_given_it_back(outside):
    (outside.folder / "resume.py").write_text(RESUME)
    done = outside.python("resume.py")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [
        {"version": "1.4", "state": {"steps": 2}},
        {"version": "1.4", "state": {"steps": 6}},
    ]
    assert "second on_fit_start 2 2" in outside.ticks


def test_a_plugin_that_raises_is_named_and_the_run_fails(outside):
    done = outside.hookloop("fit", "run.toml", "-p", "stumbler")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "plugin 'stumbler' (acme-ticker 1.4): on_step_end failed at step 2: RuntimeError: out of paper. Switch it off "
        "with: -p no:stumbler"
    )
    assert "acme_ticker/__init__.py" in done.stderr
    assert "ticker on_run_end:failed 2 1" in outside.ticks  # it comes after stumbler, so it was not told of step 2
    (record,) = outside.folder.glob("runs/run/2*/run.json")
    assert json.loads(record.read_text())["outcome"] == "failed"


def refusal(outside, *words):
    """Return what ``fit`` says when it refuses to begin."""
    done = outside.hookloop("fit", "run.toml", *words)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert not (outside.folder / "runs").exists()
    return done.stderr.strip()


def test_a_plugin_for_another_version_of_the_engine_is_refused_and_not_imported(with_bad_ones):
    with_bad_ones.write(CONFIG)
    row = with_bad_ones.rows()["antique"]
    assert row["state"] == "incompatible"
    assert row["reason"].startswith("requires hookloop>=9, this is ")
    said = refusal(with_bad_ones, "-p", "antique")
    assert said.startswith("plugin 'antique' (acme-old 1.0): requires hookloop>=9, this is ")
    assert said.endswith("so it was not imported. Upgrade one of the two. Switch it off with: -p no:antique")
    assert with_bad_ones.imported == []


def test_a_name_that_two_distributions_claim_is_refused_and_both_are_named(with_bad_ones):
    said = refusal(with_bad_ones)
    assert "it is provided by acme-ticker 1.4 and zoo-ticker 2.0: uninstall one, or say which with" in said
    assert 'use = "acme_ticker:Ticker" or use = "zoo_ticker:Ticker"' in said
    assert with_bad_ones.imported == []
    with_bad_ones.write(f'{RUN}use = "acme_ticker:Ticker"\n')
    done = with_bad_ones.hookloop("plugins", "run.toml", "--json")
    states = [row["state"] for row in json.loads(done.stdout) if row["name"] == "ticker"]
    assert sorted(states) == ["active", "shadowed", "shadowed"]
    assert with_bad_ones.imported == ["acme_ticker"]


def test_a_plugin_that_cannot_be_imported_is_named_with_its_cause(with_bad_ones):
    with_bad_ones.write(CONFIG)
    said = refusal(with_bad_ones, "-p", "broken")
    assert said.startswith("plugin 'broken' (acme-broken 1.0): acme_broken:Broken cannot be imported: ")
    assert "ModuleNotFoundError: No module named 'acme_nowhere'" in said
    assert said.endswith("Switch it off with: -p no:broken")


def test_a_plugin_with_the_wrong_constructor_is_named_with_the_right_one(outside):
    said = refusal(outside, "-p", "demanding")
    assert said == (
        "plugin 'demanding' (acme-ticker 1.4): it must be callable as Demanding(), since it has no Config, and has "
        "(printer). Switch it off with: -p no:demanding"
    )


def test_all_unusable_plugins_are_told_at_once(with_bad_ones):
    with_bad_ones.write(CONFIG)
    said = refusal(with_bad_ones, "-p", "broken", "-p", "antique", "-p", "tickr")
    assert all(name in said for name in ("plugin 'broken'", "plugin 'antique'", "Did you mean 'ticker'?"))
    assert Path(with_bad_ones.folder / "run.toml").exists()
