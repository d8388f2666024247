import json
import logging
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

TASK = """
import torch
from hookloop import SupervisedTask

def build(hidden=4, batches=4, task=SupervisedTask):
    generator = torch.Generator().manual_seed(0)
    draw = lambda: (torch.randn(6, 4, generator=generator), torch.randint(3, (6,), generator=generator))
    data = [draw() for _ in range(batches)]
    layers = torch.nn.Linear(4, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, 3)
    return task(torch.nn.Sequential(*layers), train=data, val=data[:2], test=data[:2], predict=data[:2])

class Printing(SupervisedTask):
    def train_step(self, batch):
        print("a line of the task")
        return super().train_step(batch)

class Broken(SupervisedTask):
    def loss(self, output, batch):
        raise ValueError("no such loss")

def printing():
    return build(task=Printing)

def broken():
    return build(task=Broken)

def unbuildable():
    raise OSError("the data is not there")
"""

CONFIG = """\
[run]
name = "tiny"
max_epochs = 2
log_every = "1 step"
device = "cpu"
threads = 1

[task]
use = "task.py:build"

[loss]
use = "cross_entropy"

[optimizer]
use = "sgd"
lr = 0.1

[metrics.accuracy]
"""

PLUGINS = '''
import time
from hookloop import PluginConfig, hookimpl

class Slow:
    """Takes its time."""

    role = "observer"

    class Config(PluginConfig):
        seconds: float = 0.001
        """How long it takes."""

    def __init__(self, config):
        self.config = config

    @hookimpl
    def on_step_end(self):
        time.sleep(self.config.seconds)

    @hookimpl
    def on_run_end(self):
        pass

class Stopping:
    @hookimpl
    def decide(self, run):
        if run.step == 3:
            run.request_stop("three are enough")

class Failing:
    role = "observer"

    @hookimpl
    def on_step_end(self, run):
        raise RuntimeError("out of paper")

class Wrapping:
    @hookimpl(wrapper=True)
    def on_step_end(self):
        return (yield)

    @hookimpl
    def on_run_end(self):
        pass
'''


@dataclass
class Answer:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


def environment(**more):
    """Return the variables of a child: those of this process without what steers hookloop."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HOOKLOOP", "COLUMNS"))}
    return {**kept, "COLUMNS": "80", **more}


@pytest.fixture
def hookloop(tmp_path):
    """A function that runs the command line as a process of its own, in the test's directory."""

    def call(*words, cwd=tmp_path, timeout=60, **variables):
        command = [sys.executable, "-m", "hookloop", *map(str, words)]
        done = subprocess.run(
            command, cwd=cwd, env=environment(**variables), capture_output=True, text=True, timeout=timeout, check=False
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    return call


REPORTING = """
import json, sys
from hookloop.__main__ import main
try:
    code = main()
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture
def imported(tmp_path):
    """A function that runs the command line as a process of its own; it returns the answer, and what was imported."""

    def call(*words, **variables):
        command = [sys.executable, "-c", REPORTING, *map(str, words)]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment(**variables), capture_output=True, text=True, timeout=60, check=False
        )
        *err, modules = done.stderr.splitlines(keepends=True)
        return Answer(done.returncode, done.stdout, "".join(err)), set(json.loads(modules))

    return call


@pytest.fixture
def here(tmp_path, monkeypatch, capsys):
    """A function that runs the command line in this process, where torch is imported already."""
    from hookloop.cli.main import run

    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("HOOKLOOP")]:
        monkeypatch.delenv(name)

    def call(*words):
        capsys.readouterr()
        code = run([str(word) for word in words])
        out, err = capsys.readouterr()
        return Answer(code, out, err)

    logger = logging.getLogger("hookloop")
    before = logger.handlers[:], logger.level, logger.propagate
    yield call
    logger.handlers[:], logger.level, logger.propagate = before[0], before[1], before[2]


@pytest.fixture
def files(tmp_path):
    """The test's directory with a task, a configuration and plugins in it."""
    (tmp_path / "task.py").write_text(TASK)
    (tmp_path / "run.toml").write_text(CONFIG)
    (tmp_path / "plugins.py").write_text(PLUGINS)
    return tmp_path


@pytest.fixture
def site(tmp_path):
    """A function that puts a distribution on disk as pip leaves it, and returns the variables that make it visible."""
    folder = tmp_path / "site"
    folder.mkdir()

    def install(name, entry_points, modules=None, version="1.0", requires=("hookloop>=0.1,<0.2",)):
        info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        lines += [f"Requires-Dist: {requirement}" for requirement in requires]
        (info / "METADATA").write_text("\n".join(lines) + "\n\n")
        groups = [f"[{group}]\n" + "\n".join(entries) for group, entries in entry_points.items()]
        (info / "entry_points.txt").write_text("\n\n".join(groups) + "\n")
        for path, text in (modules or {}).items():
            (folder / path).write_text(text)
        return {"PYTHONPATH": str(folder)}

    return install


def find(rows, name):
    return next(row for row in rows if row["name"] == name)


@pytest.fixture
def row():
    """A function that finds the row of one plugin in the answer of ``plugins --json``."""
    return find


@pytest.fixture
def repository():
    return Path(__file__).parents[2]
