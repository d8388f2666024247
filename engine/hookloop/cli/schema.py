"""Makes the JSON Schema of a configuration file: the engine's tables, and one for each installed plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from hookloop._version import __version__
from hookloop.cli.run_schema import run_schema, without_null
from hookloop.discovery import Candidate, find_candidates
from hookloop.errors import PluginError
from hookloop.loading import load
from hookloop.plugin_options import config_model
from hookloop.policy import Policy
from hookloop.requests import OnError, Request
from hookloop.selection import decide

if TYPE_CHECKING:
    from pydantic import BaseModel

Schema = dict[str, Any]

NAMES: Schema = {"type": "array", "items": {"type": "string"}}
USE = "A provided name, path/to/file.py:attr or module:attr."
COMPONENTS = {
    "task": "What is trained; the other keys are its arguments.",
    "loss": "The loss; the other keys are its arguments.",
    "optimizer": "The optimizer; the other keys are its arguments.",
    "schedule": "The learning rate schedule; unit counts in steps or epochs, monitor names the metric of one \
that follows one, the other keys are its arguments.",
}


def make_schema() -> tuple[Schema, list[str]]:
    """Return the schema, and what to tell of each plugin that is not in it."""
    models, failures = installed_models()
    definitions: Schema = {"secret": secret(), "plugin": any_plugin()}
    for name, model in models.items():
        own, inner = plugin_schema(name, model)
        definitions |= {f"plugin-{name}": own, **inner}
    tables: Schema = {"run": run_schema(), "metrics": metrics_schema(), "plugins": plugins_schema(list(models))}
    properties = {name: component_schema(text) for name, text in COMPONENTS.items()} | tables
    properties["extends"] = {
        "description": "The file or files below this one.",
        "anyOf": [{"type": "string"}, NAMES],
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"hookloop {__version__}",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "$defs": definitions,
    }, failures


def installed_models() -> tuple[dict[str, type[BaseModel] | None], list[str]]:
    """Import every installed plugin and return its ``Config`` by its name, and what went wrong with the others."""
    models: dict[str, type[BaseModel] | None] = {}
    failures: list[str] = []
    candidates = find_candidates()
    requests = [Request(each.name, use=each.name, where="hookloop config schema") for each in named_once(candidates)]
    for decision in decide(candidates, requests, Policy(), __version__):
        if decision.request is None:
            continue
        try:
            models[decision.instance] = config_model(load(decision), decision)
        except PluginError as error:
            failures.append(str(error))
    return models, failures


def named_once(candidates: tuple[Candidate, ...]) -> list[Candidate]:
    """Return the first plugin of each name."""
    return list({each.name: each for each in reversed(candidates)}.values())[::-1]


def component_schema(text: str) -> Schema:
    """Return the schema of a table that names code with ``use``; whose arguments the other keys are is not known."""
    use = {"type": "string", "description": USE}
    return {"type": "object", "description": text, "properties": {"use": use}, "required": ["use"]}


def metrics_schema() -> Schema:
    """Return the schema of ``[metrics]``: a table of options, or a string that names code."""
    metric = {"type": "object", "properties": {"use": {"type": "string", "description": USE}}}
    either = {"anyOf": [{"type": "string", "description": USE}, metric]}
    return {"type": "object", "description": "Metrics by name.", "additionalProperties": either}


def plugins_schema(names: list[str]) -> Schema:
    """Return the schema of ``[plugins]``: its settings, a table for each of *names*, and tables that ``use`` one."""
    settings: Schema = {
        "disable": {**NAMES, "description": "Plugins to switch off."},
        "order": {**NAMES, "description": "Plugins to call before all others, in this order."},
        "autoload": {"type": "boolean", "description": "false: no plugin is on by being installed.", "default": True},
    }
    tables = {name: {"$ref": f"#/$defs/plugin-{name}"} for name in names}
    instance = {
        "allOf": [
            {"$ref": "#/$defs/plugin"},
            *(
                {"if": {"properties": {"use": {"const": name}}, "required": ["use"]}, "then": tables[name]}
                for name in names
            ),
        ],
        "required": ["use"],
    }
    return {
        "type": "object",
        "description": "Each table switches on one instance of a plugin.",
        "properties": {**settings, **tables},
        "additionalProperties": instance,
    }


def any_plugin() -> Schema:
    """Return the schema of a plugin's table as far as the engine goes."""
    return {"type": "object", "properties": reserved()}


def reserved() -> Schema:
    """Return the keys that the engine reserves in a plugin's table."""
    return {
        "use": {"type": "string", "description": f"Which plugin this is an instance of. {USE}"},
        "enabled": {"type": "boolean", "description": "false switches the plugin off.", "default": True},
        "on_error": {
            "enum": list(get_args(OnError)),
            "description": "Whether the run fails with an error of this observer, or goes on with or without it.",
            "default": "raise",
        },
        "before": {**NAMES, "description": "Plugins to be called before."},
        "after": {**NAMES, "description": "Plugins to be called after."},
    }


def secret() -> Schema:
    """Return the schema of a reference to an environment variable."""
    return {
        "type": "object",
        "description": "The text of an environment variable.",
        "properties": {"env": {"type": "string"}},
        "required": ["env"],
        "additionalProperties": False,
    }


def plugin_schema(name: str, model: type[BaseModel] | None) -> tuple[Schema, Schema]:
    """Return the schema of the table of plugin *name*, and the definitions that it refers to."""
    prefix = f"plugin-{name}."
    own: Schema = {"properties": {}}
    if model is not None:
        own = without_null(model.model_json_schema(ref_template=f"#/$defs/{prefix}{{model}}"))
    inner = {f"{prefix}{key}": each for key, each in own.pop("$defs", {}).items()}
    options = {key: or_secret(each) for key, each in own["properties"].items()} if "properties" in own else {}
    table = {**own, "type": "object", "properties": {**options, **reserved()}, "additionalProperties": False}
    table.pop("title", None)
    return table, inner


def or_secret(option: Schema) -> Schema:
    """Return the schema of an option that takes text; the text may come from an environment variable."""
    if option.get("type") != "string":
        return option
    outside: Schema = {key: option[key] for key in ("description", "default", "title") if key in option}
    inside = {key: each for key, each in option.items() if key not in outside}
    return {**outside, "anyOf": [inside, {"$ref": "#/$defs/secret"}]}
