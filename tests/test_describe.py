import json
import platform
import tomllib

import pytest
import torch

from hookloop import PluginConfig, __version__, hookimpl
from hookloop.config import ConfigTree, load_config
from hookloop.describe import config_text, describe_plugins, fingerprint_of, resolved, versions
from hookloop.hookspecs import SPECIFICATIONS
from hookloop.manager import PluginManager
from hookloop.plan import make_plan
from hookloop.testing import tiny_task

OWN = """\
from pydantic import SecretStr

from hookloop import PluginConfig, hookimpl
from hookloop.testing import tiny_task

def build(batches=3):
    return tiny_task(batches)

class Watch:
    role = "observer"

    class Config(PluginConfig):
        every_seconds: float = 1.0
        api_key: str = ""
        url: SecretStr | None = None
        headers: dict[str, SecretStr] = {}

    def __init__(self, config):
        self.config = config

    @hookimpl
    def on_step_end(self, run):
        pass
"""

CONFIG = """\
[run]
name = "digits"
max_epochs = 2
log_every = "10 steps"
validate_every = "never"
device = "cpu"

[task]
use = "own.py:build"
batches = 4

[loss]
use = "cross_entropy"
weight = [1.0, 2.0, 3.0]

[optimizer]
use = "adamw"
lr = 3e-3

[schedule]
use = "cosine"
unit = "step"

[metrics]
accuracy = {}
other = "own.py:build"

[plugins]
autoload = false
order = ["watch"]

[plugins.watch]
use = "own.py:Watch"
every_seconds = 2.5
api_key = { env = "ZZ_KEY" }
on_error = "warn"
before = ["csv"]

[plugins.off]
use = "own.py:Watch"
enabled = false
"""


@pytest.fixture
def plan(tmp_path):
    """A function that makes the plan of a configuration in a directory of its own."""

    def make(text=CONFIG, **given):
        folder = tmp_path / "conf"
        folder.mkdir(exist_ok=True)
        (folder / "own.py").write_text(OWN)
        (folder / "run.toml").write_text(text)
        tree = load_config([folder / "run.toml"], environ={})
        return make_plan(tree, environ={"ZZ_KEY": "hush", **given.pop("environ", {})}, **given)

    return make


def test_versions_are_those_that_results_depend_on():
    assert versions() == {"hookloop": __version__, "torch": torch.__version__, "python": platform.python_version()}
    assert json.dumps(versions())


def test_the_resolved_configuration_says_everything_that_holds(plan, tmp_path):
    table = resolved(plan())
    own = f"{tmp_path}/conf/own.py"
    assert table["run"]["name"] == "digits"
    assert (table["run"]["seed"], table["run"]["log_every"], table["run"]["validate_every"]) == (0, "10 steps", "never")
    assert table["task"] == {"use": f"{own}:build", "batches": 4}
    assert table["loss"] == {"use": "cross_entropy", "weight": [1.0, 2.0, 3.0]}
    assert table["schedule"] == {"use": "cosine", "unit": "step"}
    assert table["metrics"] == {"accuracy": {"use": "accuracy"}, "other": {"use": f"{own}:build"}}
    assert table["plugins"] == {
        "autoload": False,
        "order": ["watch"],
        "watch": {
            "use": f"{own}:Watch",
            "on_error": "warn",
            "before": ["csv"],
            "every_seconds": 2.5,
            "api_key": {"env": "ZZ_KEY"},
        },
    }


def test_what_is_not_configured_is_left_out(plan):
    table = resolved(plan('[run]\nmax_steps = 1\n\n[task]\nuse = "own.py:build"\n'))
    assert set(table) == {"run", "task", "metrics", "plugins"}
    assert "max_epochs" not in table["run"]


def test_from_the_written_configuration_the_same_run_can_be_made_elsewhere(plan, tmp_path, monkeypatch):
    first = plan()
    copy = tmp_path / "elsewhere" / "config.toml"
    copy.parent.mkdir()
    copy.write_text(config_text(first))
    monkeypatch.chdir(copy.parent)
    second = make_plan(load_config([copy], environ={}), environ={"ZZ_KEY": "hush"})
    assert resolved(second) == resolved(first)
    assert config_text(second) == config_text(first)
    assert [each.plugin.config.api_key for each in second.plugins] == ["hush"]


def test_a_plugin_that_was_switched_on_elsewhere_is_written_down_too(plan, tmp_path):
    with_switch = plan(
        CONFIG.replace("[plugins.watch]", "[plugins.other]"), switches=["no:off", f"{tmp_path}/conf/own.py"]
    )
    assert resolved(with_switch)["plugins"]["own"] == {"use": f"{tmp_path}/conf/own.py"}
    assert "off" not in resolved(with_switch)["plugins"]


def test_no_secret_is_written(plan):
    text = CONFIG.replace('{ env = "ZZ_KEY" }', '"very secret"').replace("batches = 4", "batches = 4\npassword = 'x'")
    written = config_text(plan(text))
    assert "very secret" not in written
    assert tomllib.loads(written)["plugins"]["watch"]["api_key"] == "***"
    assert tomllib.loads(written)["task"]["password"] == "***"


def from_python(given=(), **tables):
    data = {"run": {"max_epochs": 1}, "task": {"use": tiny_task}, **tables}
    return make_plan(ConfigTree.from_python(data), given=given, environ={})


@pytest.mark.parametrize(
    "tables",
    [
        {},
        {"task": {"use": tiny_task()}},
        {"task": {"use": "hookloop.testing:tiny_task"}, "loss": {"use": torch.nn.functional.mse_loss}},
        {"task": {"use": "hookloop.testing:tiny_task"}, "loss": {"use": "cross_entropy", "weight": torch.ones(3)}},
    ],
)
def test_what_python_gave_is_named_and_the_file_says_that_it_cannot_make_it_again(tables):
    text = config_text(from_python(**tables))
    first, rest = text.split("\n", 1)
    assert first == "# Started from Python: this file names the objects that were given, it cannot make them again."
    assert tomllib.loads(rest)["task"]["use"].startswith("hookloop.")


def test_a_configuration_of_names_alone_can_be_made_again():
    text = config_text(from_python(task={"use": "hookloop.testing:tiny_task"}, loss={"use": "mse"}))
    assert not text.startswith("#")
    assert tomllib.loads(text)["task"] == {"use": "hookloop.testing:tiny_task"}


class Plain:
    @hookimpl
    def on_step_end(self):
        pass


class Keyed(Plain):
    role = "observer"

    class Config(PluginConfig):
        token: str = ""

    def __init__(self, config):
        pass


def test_a_plugin_object_is_named_by_its_class(tiny_run):
    text = config_text(tiny_run.plan([Plain(), ("second", Plain)]))
    assert text.startswith("# Started from Python")
    plugins = tomllib.loads(text)["plugins"]
    assert plugins["plain"]["use"].endswith(":Plain")
    assert plugins["second"]["use"].endswith(":Plain")


def manager(plan):
    plugins = PluginManager(SPECIFICATIONS)
    plugins.register(*plan.plugins)
    return plugins


def test_plugins_are_described_in_call_order_without_secrets(plan, tmp_path):
    own = tmp_path / "conf" / "own.py"
    rows = describe_plugins(manager(plan(CONFIG.replace('{ env = "ZZ_KEY" }', '"very secret"'))))
    assert rows == [
        {
            "instance": "watch",
            "plugin": "watch",
            "distribution": str(own),
            "version": "",
            "role": "observer",
            "options": {"every_seconds": 2.5, "api_key": "***"},
        }
    ]


def test_the_engines_own_plugins_are_not_described(tiny_run):
    result = tiny_run([Plain()], epochs=1)
    record = json.loads((result.directory / "run.json").read_text())
    assert [each["instance"] for each in record["plugins"]] == ["plain"]
    assert record["versions"] == versions()


def test_the_fingerprint_tells_configurations_and_plugins_apart(plan):
    first, same, other = plan(), plan(), plan(CONFIG.replace("lr = 3e-3", "lr = 4e-3"))
    bare = plan(CONFIG.replace("enabled = false", "enabled = true"))
    prints = [fingerprint_of(each, manager(each)) for each in (first, same, other, bare)]
    assert prints[0] == prints[1]
    assert prints[0]["configuration"] != prints[2]["configuration"]
    assert (len(prints[0]["plugins"]), len(prints[3]["plugins"])) == (1, 2)
    assert versions().items() <= prints[0].items()


def test_the_run_knows_its_whole_configuration(tiny_run):
    class Look:
        @hookimpl
        def on_fit_start(self, run):
            seen.update(run.settings)

    seen = {}
    tiny_run([Look()], epochs=1)
    assert seen["run"]["max_epochs"] == 1
    assert seen["plugins"]["look"]["use"].endswith("Look")


def test_what_a_plugin_declares_as_a_secret_is_hidden_whatever_it_is_called(plan):
    secrets = 'url = "https://example.org/letmein"\nheaders = { X-Who = "letmein", X-Ref = { env = "ZZ_KEY" } }\n'
    made = plan(CONFIG.replace("every_seconds = 2.5\n", f"every_seconds = 2.5\n{secrets}"))
    written = tomllib.loads(config_text(made))["plugins"]["watch"]
    assert (written["url"], written["headers"]) == ("***", {"X-Who": "***", "X-Ref": {"env": "ZZ_KEY"}})
    described = json.dumps(describe_plugins(manager(made)))
    assert "letmein" not in described
    assert "hush" not in described
