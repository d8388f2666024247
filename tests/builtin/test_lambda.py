import json
import subprocess
import sys
import textwrap

import pytest

from hookloop import ConfigError, Engine, PluginHookError
from hookloop.testing import tiny_task

CODE = """
    seen = []

    def count(run):
        seen.append(run.epoch)

    def first(run):
        seen.append(-run.step)

    def odd(run):
        return run.epoch % 2

    def asks(run, logs):
        pass
"""


@pytest.fixture
def code(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(textwrap.dedent(CODE))
    return path


@pytest.fixture
def fit(tmp_path):
    def run(**options):
        parts = {"loss": "cross_entropy", "optimizer": "sgd", "max_epochs": 4, "run_dir": tmp_path / "run"}
        return Engine(tiny_task, plugins=[("lambda", options)], **parts).fit()

    return run


def seen_by(code):
    from hookloop import import_function

    return import_function(f"{code}:count").__globals__["seen"]


def test_a_function_is_called_in_the_hook_that_is_named(fit, code):
    fit(on_epoch_end=f"{code}:count", on_step_end={"use": f"{code}:first", "once": True})
    assert seen_by(code) == [-1, 1, 2, 3, 4]


def test_it_is_called_as_often_as_the_table_says(fit, code):
    fit(on_epoch_end={"use": f"{code}:count", "every": "2 epochs"})
    assert seen_by(code) == [2, 4]


def test_it_is_called_while_a_function_says_so(fit, code):
    fit(on_epoch_end={"use": f"{code}:count", "when": f"{code}:odd"})
    assert seen_by(code) == [1, 3]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"on_epoch_edn": "{code}:count"}, "on_epoch_edn: unknown option. Did you mean 'on_epoch_end'?"),
        ({"on_epoch_end": "{code}"}, "must be path/to/file.py:function or module:function"),
        ({"on_epoch_end": "{code}:cuont"}, "there is no 'cuont'"),
        (
            {"on_epoch_end": "{code}:asks"},
            "asks asks for logs, which the hook on_epoch_end does not have. It has: run.",
        ),
        ({"on_epoch_end": {"use": "{code}:count", "evry": "1 epoch"}}, "evry: unknown option. Did you mean 'every'?"),
        ({"on_epoch_end": {"use": "{code}:count", "when": "{code}:even"}}, "there is no 'even'"),
    ],
)
def test_what_is_wrong_is_said_before_the_run(fit, code, options, said):
    def written(value):
        if isinstance(value, dict):
            return {key: written(each) for key, each in value.items()}
        return value.replace("{code}", str(code))

    with pytest.raises(ConfigError) as caught:
        fit(**written(options))
    assert said in str(caught.value)


def test_it_comes_with_the_engine():
    listing = [sys.executable, "-m", "hookloop", "plugins", "list", "--json"]
    plugins = json.loads(subprocess.run(listing, capture_output=True, text=True, check=True).stdout)
    (own,) = [each for each in plugins if each["name"] == "lambda"]
    assert (own["state"], own["distribution"]) == ("available", "hookloop")


def test_a_table_without_a_function_is_a_mistake_in_it(fit):
    with pytest.raises(PluginHookError, match="it names no function: write, for instance, on_epoch_end") as caught:
        fit()
    assert caught.value.exit_code == 2


def test_its_options_are_the_hooks_and_are_described():
    showing = [sys.executable, "-m", "hookloop", "plugins", "show", "lambda", "--json"]
    options = json.loads(subprocess.run(showing, capture_output=True, text=True, check=True).stdout)["options"]
    described = {each["name"]: each["doc"] for each in options}
    assert described["on_epoch_end"].startswith("Fires when an epoch is complete")
    assert all(described.values())
