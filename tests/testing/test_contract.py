"""A real pytest runs the contract over real plugins: one that keeps all of it, and others that break one clause."""

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from xml.etree import ElementTree

import pytest

from hookloop.testing import PluginContract

CLAUSES = [name for name in dir(PluginContract) if name.startswith("test_")]

SETTINGS = """\
[pytest]
filterwarnings =
    error
    ignore:unclosed file:ResourceWarning
"""

HEAD = """
import time
from hookloop import PluginConfig, hookimpl
"""

GOOD = """
class Watch:
    role = "observer"

    class Config(PluginConfig):
        every: int = 2
        \"\"\"Steps between two notes.\"\"\"
        file: str = "notes.txt"
        \"\"\"Where the notes go, in the run directory.\"\"\"

    def __init__(self, config):
        self.config = config
        self.steps = 0
        self.notes = None

    @hookimpl
    def on_run_start(self, run):
        self.notes = (run.directory / self.config.file).open("a")

    @hookimpl
    def on_step_end(self, run):
        self.steps += 1
        if self.steps % self.config.every == 0:
            self.notes.write(f"{run.step}\\n")
            run.log("watch/loss", run.loss)

    @hookimpl
    def on_run_end(self, run, outcome):
        if self.notes is not None:
            self.notes.close()

    def state_dict(self):
        return {"steps": self.steps}

    def load_state_dict(self, state):
        self.steps = state["steps"]
"""

PLAIN = """
class Watch:
    role = "observer"

    @hookimpl
    def on_step_end(self, run):
        {body}

    @hookimpl
    def on_run_end(self, run, outcome):
        {end}
"""


def watch(body="pass", end="pass"):
    return PLAIN.format(body=body, end=end)


# What is wrong with each, with the clause that has to find it.
BROKEN = {
    "torch": ("import torch" + watch(), "importing_it_imports_no_torch"),
    "misspelt-hook": (watch().replace("on_step_end", "on_stepp_end"), "it_loads_and_every_hook_matches_its_spec"),
    "forgiving": (
        """
        from pydantic import model_validator

        class Watch:
            role = "observer"

            class Config(PluginConfig):
                every: int = 1
                \"\"\"Steps.\"\"\"

                @model_validator(mode="before")
                @classmethod
                def drop(cls, data):
                    return {key: value for key, value in data.items() if key == "every"}

            def __init__(self, config): pass
            @hookimpl
            def on_step_end(self, run): pass
        """,
        "unknown_options_are_refused",
    ),
    "drawing": (
        watch("import torch; torch.rand(())"),
        "without_it_the_losses_are_bitwise_equal",
    ),
    "writing-loss": (
        """
        class Watch:
            role = "observer"
            @hookimpl(tryfirst=True)
            def on_batch_end(self, run):
                run.loss = run.loss * 2
        """,
        "without_it_the_losses_are_bitwise_equal",
    ),
    "forgetful": (
        """
        class Watch:
            role = "observer"
            steps = 0
            @hookimpl
            def on_step_end(self, run):
                self.steps += 1
            def state_dict(self):
                return {"steps": self.steps}
            def load_state_dict(self, state): pass
        """,
        "its_state_survives_saving_and_loading",
    ),
    "reading": (watch("run.loss.item()"), "no_tensor_is_read_between_two_logging_boundaries"),
    "thread": (
        "import threading" + watch("threading.Thread(target=time.sleep, args=(60,), daemon=True).start()"),
        "nothing_is_left_behind",
    ),
    "file": (
        """
        class Watch:
            role = "observer"
            @hookimpl
            def on_run_start(self, run):
                self.file = open("/dev/null")
        """,
        "nothing_is_left_behind",
    ),
    "process": (
        """
        import atexit, subprocess
        class Watch:
            role = "observer"
            @hookimpl
            def on_run_start(self, run):
                self.child = subprocess.Popen(["sleep", "60"])
                atexit.register(self.child.kill)
        """,
        "nothing_is_left_behind",
    ),
    "signal": (
        "import signal" + watch("signal.signal(signal.SIGUSR2, lambda *_: None)"),
        "nothing_is_left_behind",
    ),
}

# More ways to break a clause: of these only the clause is run, to save time.
ALSO_BROKEN = {
    "unresumable": (
        """
        class Watch:
            role = "actor"
            steps = 0
            @hookimpl
            def on_step_end(self, run):
                self.steps += 1
                for group in run.optimizers[0].param_groups:
                    group["lr"] = 0.1 / self.steps
        """,
        "a_resumed_run_ends_like_one_that_was_never_stopped",
    ),
    "untidy-failure": (
        """
        class Watch:
            role = "observer"
            @hookimpl
            def on_run_start(self, run):
                self.started = time.monotonic()
            @hookimpl
            def on_run_end(self, run, outcome):
                self.seconds = time.monotonic() - self.started
        """,
        "an_error_elsewhere_comes_out_as_it_was",
    ),
    "hidden-torch": ("from hookloop import Task" + watch(), "importing_it_imports_no_torch"),
    "unmarked-hook": (watch() + "    def on_epoch_end(self, run): pass", "it_loads_and_every_hook_matches_its_spec"),
    "forgiving-inside": (
        """
        from pydantic import BaseModel, ConfigDict

        class Rule(BaseModel):
            model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)
            above: float = 0.0
            \"\"\"Bound.\"\"\"

        class Watch:
            role = "observer"

            class Config(PluginConfig):
                rules: list[Rule] = []
                \"\"\"When to tell.\"\"\"

            def __init__(self, config): pass
            @hookimpl
            def on_step_end(self, run): pass
        """,
        "unknown_options_are_refused",
    ),
    "undescribed": (
        """
        class Watch:
            role = "observer"

            class Config(PluginConfig):
                every: int = 1

            def __init__(self, config): pass
            @hookimpl
            def on_step_end(self, run): pass
        """,
        "its_options_are_frozen_and_described",
    ),
    "drawing-python": (
        watch("import random; random.random()"),
        "without_it_the_losses_are_bitwise_equal",
    ),
    "writing-output": (
        """
        class Watch:
            role = "observer"
            @hookimpl
            def on_predict_batch_end(self, run, output):
                output.mul_(2)
        """,
        "without_it_the_losses_are_bitwise_equal",
    ),
    "pickling": (
        """
        import pathlib
        class Watch:
            role = "observer"
            @hookimpl
            def on_step_end(self, run): pass
            def state_dict(self):
                return {"last": pathlib.Path("x")}
            def load_state_dict(self, state): pass
        """,
        "its_state_survives_saving_and_loading",
    ),
    "printing": (watch("f'{run.loss:.3f}'"), "no_tensor_is_read_between_two_logging_boundaries"),
    "log-handler": (
        "import logging" + watch("logging.getLogger('watch').addHandler(logging.NullHandler())"),
        "nothing_is_left_behind",
    ),
    "filter": (
        "import warnings" + watch("warnings.simplefilter('ignore', UserWarning)"),
        "nothing_is_left_behind",
    ),
    "swallowing": (
        """
        class Watch:
            role = "observer"
            @hookimpl(wrapper=True)
            def run_fit(self, run):
                try:
                    return (yield)
                except Exception:
                    return True
        """,
        "an_error_elsewhere_comes_out_as_it_was",
    ),
    "same-file": (
        """
        class Watch:
            role = "observer"
            @hookimpl
            def on_run_end(self, run, outcome):
                (run.directory / "watch.txt").write_text(outcome)
        """,
        "two_instances_run_side_by_side",
    ),
}


def install(site, name, source, requires="hookloop>=0.1"):
    """Put the distribution ``zz-NAME`` with the plugin NAME on disk, as pip leaves it."""
    module = write_module(site, name, source)
    info = site / f"{module}-1.2.dist-info"
    info.mkdir()
    needs = f"Requires-Dist: {requires}\n" if requires else ""
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: zz-{name}\nVersion: 1.2\n{needs}\n")
    (info / "entry_points.txt").write_text(f"[hookloop]\n{name} = {module}:Watch\n")


def write_module(site, name, source):
    """Write the plugin NAME as the module ``zz_NAME`` and return the module's name."""
    module = f"zz_{name.replace('-', '_')}"
    (site / f"{module}.py").write_text(HEAD + dedent(source))
    return module


def title(name):
    return name.title().replace("-", "")


def subclass(name, plugin, body=""):
    return f"class Test{title(name)}(PluginContract):\n    plugin = {plugin!r}\n{body}\n"


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Class → clause → how it ended and with what message, of one pytest run over all of the plugins above."""
    site = tmp_path_factory.mktemp("site")
    install(site, "good", GOOD)
    install(site, "careless", watch(), requires="")
    classes = [
        subclass("good", "good", '    second_options = {"file": "more.txt"}\n'),
        subclass("careless", "careless"),
        subclass("absent", "absent"),
        subclass("local", str(site / f"{write_module(site, 'local', watch())}.py")),
    ]
    # Those that are broken are not installed: each distribution makes every look at the metadata a little longer.
    for name, (source, clause) in {**BROKEN, **ALSO_BROKEN}.items():
        others = [] if name in BROKEN else [f"    {each} = None\n" for each in CLAUSES if each != f"test_{clause}"]
        classes.append(subclass(name, f"{write_module(site, name, source)}:Watch", "".join(others)))
    (site / "test_plugins.py").write_text("from hookloop.testing import PluginContract\n\n" + "\n".join(classes))
    (site / "pytest.ini").write_text(SETTINGS)
    return read(run_pytest(site))


def run_pytest(site):
    report = site / "report.xml"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), *sys.path])}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", str(site)]
    done = subprocess.run(command, cwd=site, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 1, done.stdout + done.stderr
    return report


def read(report: Path):
    table = {}
    for case in ElementTree.parse(report).iter("testcase"):
        ended = next((part for part in case if part.tag in ("failure", "error", "skipped")), None)
        clause = case.get("name").partition("[")[0].removeprefix("test_")
        here = table.setdefault(case.get("classname").rpartition(".Test")[2], {}).setdefault(clause, [])
        here.append(("passed", "") if ended is None else (ended.tag, ended.get("message")))
    return table


def failed(clauses):
    return {clause for clause, results in clauses.items() if any(ended in ("failure", "error") for ended, _ in results)}


def message(clauses, clause):
    return next(text for ended, text in clauses[clause] if ended == "failure")


def test_a_good_plugin_keeps_every_clause(outcomes):
    assert {ended for results in outcomes["Good"].values() for ended, _ in results} == {"passed"}
    assert {f"test_{clause}" for clause in outcomes["Good"]} == set(CLAUSES)


def test_a_plugin_named_by_its_file_is_not_asked_for_its_distribution(outcomes):
    assert not failed(outcomes["Local"])
    assert outcomes["Local"]["it_is_installed_with_a_version_and_says_which_hookloop_it_needs"][0][0] == "skipped"


@pytest.mark.parametrize("name", ALSO_BROKEN)
def test_a_clause_finds_what_breaks_it(outcomes, name):
    assert failed(outcomes[title(name)]) == {ALSO_BROKEN[name][1]}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_breaks_its_clause_and_no_other(outcomes, name):
    assert failed(outcomes[title(name)]) == {BROKEN[name][1]}


def test_a_distribution_that_does_not_say_which_hookloop_it_needs_is_told_how(outcomes):
    clause = "it_is_installed_with_a_version_and_says_which_hookloop_it_needs"
    assert failed(outcomes["Careless"]) == {clause}
    assert 'dependencies = ["hookloop>=' in message(outcomes["Careless"], clause)


def test_a_plugin_that_is_not_installed_is_named_in_both_clauses_about_that(outcomes):
    installed = "it_is_installed_with_a_version_and_says_which_hookloop_it_needs"
    assert failed(outcomes["Absent"]) == {installed, "it_loads_and_every_hook_matches_its_spec"}
    assert "no plugin 'absent' is installed" in message(outcomes["Absent"], installed)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("torch", "zz_torch.py:4: import torch"),
        ("misspelt-hook", "there is no hook on_stepp_end. Did you mean 'on_step_end'?"),
        ("forgiving", "takes the unknown option 'everyy'"),
        ("forgiving-inside", "Rule, inside its Config"),
        ("undescribed", "Config.every"),
        ("drawing", "a generator of its own"),
        ("writing-loss", "losses/0: tensor("),
        ("forgetful", "state/steps: 3 and 0"),
        ("pickling", "neither a tensor nor a plain value"),
        ("reading", "zz_reading.py:"),
        ("thread", "thread: Thread-"),
        ("file", "open file: "),
        ("process", "sleep 60"),
        ("signal", "SIGUSR2"),
        ("log-handler", "logger 'watch'"),
        ("untidy-failure", "AttributeError"),
        ("same-file", "watch.txt"),
    ],
)
def test_the_message_of_a_broken_clause_says_what_to_look_at(outcomes, name, text):
    _, clause = {**BROKEN, **ALSO_BROKEN}[name]
    assert text in message(outcomes[title(name)], clause)
