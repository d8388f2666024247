import dataclasses

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from hookloop.errors import PluginConfigError
from hookloop.plugin_options import config_model, validate_options
from hookloop.policy import Policy
from hookloop.requests import read_python
from hookloop.selection import decide


def decision_of(target):
    requests, _ = read_python([("mine", target)])
    return decide([], requests, Policy(), "0.1.0")[0]


class Plugin:
    class Config(BaseModel):
        """What the plugin takes."""

        model_config = ConfigDict(frozen=True, extra="forbid")
        every_seconds: float = 1.0


class Lax:
    class Config(BaseModel):
        """What the lax plugin takes."""

        every_seconds: float = 1.0


class Allowing:
    class Config(BaseModel):
        model_config = ConfigDict(extra="allow", frozen=True)


class Bare:
    pass


def factory(config):
    return Plugin()


factory.Config = Lax.Config


def test_the_config_of_the_class_is_the_model():
    assert config_model(Plugin, decision_of(Plugin)) is Plugin.Config
    assert config_model(Bare, decision_of(Bare)) is None


def test_the_options_are_an_instance_of_the_config_and_defaults_fill_it():
    assert validate_options(Plugin, {"every_seconds": 3}, decision_of(Plugin)) == Plugin.Config(every_seconds=3)
    assert validate_options(Plugin, {}, decision_of(Plugin)) == Plugin.Config()
    assert validate_options(Bare, {}, decision_of(Bare)) is None


@pytest.mark.parametrize("target", [Plugin, Lax, Allowing, factory])
def test_an_unknown_key_is_refused_whatever_the_model_says(target):
    with pytest.raises(ValidationError) as caught:
        validate_options(target, {"every_secnods": 3}, decision_of(target))
    assert [error["type"] for error in caught.value.errors()] == ["extra_forbidden"]


def test_a_model_that_is_made_strict_stays_what_it_was():
    strict = config_model(Lax, decision_of(Lax))
    options = strict(every_seconds=2)
    assert isinstance(options, Lax.Config)
    assert strict.__module__ == __name__
    schema = strict.model_json_schema()
    assert (schema["title"], schema["description"]) == ("Config", "What the lax plugin takes.")
    assert config_model(Allowing, decision_of(Allowing)).model_config["frozen"]


@pytest.mark.parametrize("config", [dataclasses.make_dataclass("Config", ["x"]), {"x": 1}])
def test_a_config_that_is_no_pydantic_model_is_refused(config):
    target = type("Plugin", (), {"Config": config})
    with pytest.raises(PluginConfigError, match=r"it must be a pydantic model: class Config\(pydantic\.BaseModel\)\."):
        config_model(target, decision_of(target))


def test_options_for_a_plugin_without_a_config_are_refused():
    with pytest.raises(
        PluginConfigError, match=r"it takes no options, but Engine\(plugins=\.\.\.\) gives it every, keep\."
    ):
        validate_options(Bare, {"every": 1, "keep": 2}, decision_of(Bare))


def test_a_ready_object_takes_no_options_though_its_class_has_a_config():
    plugin = Plugin()
    assert config_model(plugin, decision_of(plugin)) is None
    with pytest.raises(PluginConfigError, match="it is a ready object, so it takes no options"):
        validate_options(plugin, {"every_seconds": 1}, decision_of(plugin))
