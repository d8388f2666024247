import json

import pytest

from hookloop.cli.run_schema import attribute_docs, without_null
from hookloop.options import RunOptions

KNOBS = '''
from typing import Literal
from pydantic import BaseModel, Field
from hookloop import Interval, PluginConfig, hookimpl

class Inner(BaseModel):
    depth: int = 1

class Knobs:
    class Config(PluginConfig):
        """What can be turned."""

        every: Interval | None = None
        """How often."""

        token: str = ""
        """What it needs."""

        mode: Literal["min", "max"] = "min"
        """Which is better."""

        inner: Inner = Inner()
        """More of it."""

        size: int = Field(gt=0)
        """How large."""

    def __init__(self, config): pass

    @hookimpl
    def report(self): pass
'''


@pytest.fixture
def schema(hookloop, site):
    """The schema with two plugins installed, one of which cannot be imported."""
    site("zz-broken", {"hookloop": ["zz-broken = zz_broken:X"]}, {"zz_broken.py": "import zz_absent\n"})
    variables = site("zz-knobs", {"hookloop": ["zz-knobs = zz_knobs:Knobs"]}, {"zz_knobs.py": KNOBS})
    answer = hookloop("config", "schema", **variables)
    assert answer.code == 0
    assert answer.err.startswith("warning: left out: plugin 'zz-broken' (zz-broken 1.0): ")
    return answer.json


def test_show_says_where_each_value_comes_from(here, files, monkeypatch):
    (files / "base.toml").write_text("[run]\nseed = 1\n[optimizer]\nlr = 1.0\n")
    monkeypatch.setenv("HOOKLOOP__OPTIMIZER__LR", "0.5")
    answer = here("config", "show", "base.toml", "-c", "run.toml", "--set", "loss.use=mse", "--run-dir", "x")
    rows = [line.split() for line in answer.out.splitlines()]
    assert answer.code == 0
    assert ["run.seed", "1", "base.toml:2"] in rows
    assert ["run.max_epochs", "2", "run.toml:3"] in rows
    assert ["optimizer.lr", "0.5", "HOOKLOOP__OPTIMIZER__LR"] in rows
    assert ["loss.use", '"mse"', "--set"] in rows
    assert ["run.run_dir", '"x"', "--run-dir"] in rows
    assert ["run.precision", '"fp32"', "default"] in rows


def test_show_keeps_secrets(here, files):
    (files / "run.toml").write_text('[plugins.mail]\npassword = "letmein"\ntoken = { env = "TOKEN" }\n')
    answer = here("config", "show", "run.toml", "--json")
    values = {each["key"]: each["value"] for each in answer.json}
    assert values["plugins.mail.password"] == "***"
    assert values["plugins.mail.token"] == {"env": "TOKEN"}
    assert "letmein" not in answer.out


def test_show_has_values_and_origins_for_scripts(here, files):
    rows = here("config", "show", "run.toml", "--json").json
    assert {"key": "optimizer.lr", "value": 0.1, "origin": "run.toml:16"} in rows


def test_show_does_not_take_what_it_would_ignore(here, files):
    assert here("config", "show", "run.toml", "-p", "plugins.py:Slow").code == 2


def test_show_tells_of_a_file_that_cannot_be_read(here):
    answer = here("config", "show", "nothing.toml")
    assert answer.code == 2
    assert "nothing.toml: no such file." in answer.err


def test_every_option_of_run_is_in_the_schema_with_its_meaning(schema):
    run = schema["properties"]["run"]
    assert set(run["properties"]) == set(RunOptions.__annotations__)
    assert all(each["description"] for each in run["properties"].values())
    assert run["additionalProperties"] is False
    assert run["properties"]["max_epochs"]["exclusiveMinimum"] == 0
    assert run["properties"]["log_every"]["default"] == "50 steps"
    assert "Attributes" not in run["description"]
    assert '"type": "null"' not in json.dumps(schema)


def test_a_plugin_has_its_options_and_the_engines_keys(schema):
    own = schema["$defs"]["plugin-zz-knobs"]
    assert schema["properties"]["plugins"]["properties"]["zz-knobs"] == {"$ref": "#/$defs/plugin-zz-knobs"}
    assert set(own["properties"]) == {
        "every", "token", "mode", "inner", "size", "use", "enabled", "on_error", "before", "after",
    }  # fmt: skip
    assert own["additionalProperties"] is False
    assert own["required"] == ["size"]
    assert own["properties"]["every"]["description"] == "How often."
    assert own["properties"]["every"]["anyOf"][0]["type"] == "string"
    assert own["properties"]["inner"]["$ref"] == "#/$defs/plugin-zz-knobs.Inner"
    assert schema["$defs"]["plugin-zz-knobs.Inner"]["properties"]["depth"]["type"] == "integer"
    assert own["properties"]["token"]["anyOf"] == [{"type": "string"}, {"$ref": "#/$defs/secret"}]


def test_an_instance_by_another_name_has_the_schema_of_what_it_uses(schema):
    instance = schema["properties"]["plugins"]["additionalProperties"]
    assert instance["required"] == ["use"]
    named = {"use": {"const": "zz-knobs"}}
    then = [each["then"] for each in instance["allOf"] if each.get("if", {}).get("properties") == named]
    assert then == [{"$ref": "#/$defs/plugin-zz-knobs"}]


def test_every_reference_in_the_schema_leads_somewhere(schema):
    text = json.dumps(schema)
    targets = {part.partition('"')[0] for part in text.split('"#/$defs/')[1:]}
    assert targets <= set(schema["$defs"])


def test_a_broken_plugin_is_left_out_of_the_schema(schema):
    assert "zz-broken" not in schema["properties"]["plugins"]["properties"]


def test_the_meaning_of_an_option_is_read_off_the_docstring():
    class Options:
        """Some.

        Attributes:
            one, two: of both. three: of
                a third.
            four: ``x``: with a colon.
        """

        one: int
        two: int
        three: int
        four: int

    both = "of both."
    assert attribute_docs(Options) == {"one": both, "two": both, "three": "of a third.", "four": "x: with a colon."}


def test_null_is_taken_out_of_a_schema():
    assert without_null({"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None}) == {"type": "integer"}
    three = {"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}]}
    assert without_null(three) == {"anyOf": [{"type": "integer"}, {"type": "string"}]}
