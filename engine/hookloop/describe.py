"""What is written about a run, for people and for scripts: versions, plugins, configuration."""

from __future__ import annotations

import hashlib
import platform
from typing import Any

from hookloop._version import __version__
from hookloop.components import named, portable
from hookloop.config import dump_toml, redact, redact_declared
from hookloop.manager import PluginManager
from hookloop.options import as_table
from hookloop.plan import Plan
from hookloop.selection import Decision


def versions() -> dict[str, str]:
    """Return the versions that results depend on."""
    import torch

    return {"hookloop": __version__, "torch": torch.__version__, "python": platform.python_version()}


def describe_plugins(plugins: PluginManager) -> list[dict[str, Any]]:
    """Return the plugins that are not the engine's own, in call order, without their secrets."""
    return [
        {
            "instance": each.instance,
            "plugin": each.name,
            "distribution": each.distribution,
            "version": each.version,
            "role": each.role,
            "options": redact(redact_declared(each.raw_options, each.options)),
        }
        for each in plugins
        if not each.builtin
    ]


def resolved(plan: Plan) -> dict[str, Any]:
    """Return the whole configuration of a run, from which the same run can be made again, without its secrets.

    Files of the user's own have absolute paths. The plugins are those that are active, by whatever switch, and
    installing another that switches itself on changes nothing.
    """
    table: dict[str, Any] = {"run": as_table(plan.options)}
    for name, component in (
        ("task", plan.task),
        ("loss", plan.loss),
        ("optimizer", plan.optimizer),
        ("schedule", plan.schedule),
    ):
        if component is not None:
            table[name] = component.as_table()
    table["metrics"] = {name: component.as_table() for name, component in plan.metrics.items()}
    table["plugins"] = {"autoload": False, "order": list(plan.policy.order)}
    options = {each.instance: each.options for each in plan.plugins}
    table["plugins"] |= {
        each.instance: redact_declared(plugin_table(each), options.get(each.instance))
        for each in plan.decisions
        if each.wanted
    }
    return redact(table)


def plugin_table(decision: Decision) -> dict[str, Any]:
    """Return the table that asks for the plugin of *decision* as it was asked for."""
    request, candidate = decision.request, decision.candidate
    assert candidate is not None, "a plan has no plugin that was not found"
    table: dict[str, Any] = {}
    given = request is not None and request.target is not None
    use = (
        candidate.name if candidate.source == "entry point" else candidate.value if given else portable(candidate.value)
    )
    if use != decision.instance:
        table["use"] = use
    if request is not None:
        if request.on_error != "raise":
            table["on_error"] = request.on_error
        table |= {key: list(names) for key, names in (("before", request.before), ("after", request.after)) if names}
        table |= request.table
    return table


def config_text(plan: Plan) -> str:
    """Return ``config.toml``. What Python code gave as an object is only named in it, and it says so."""
    parts = [plan.task, plan.loss, plan.optimizer, plan.schedule, *plan.metrics.values()]
    given: list[object] = [each.use for each in parts if each is not None and not isinstance(each.use, str)]
    given += [each.instance for each in plan.decisions if each.request and each.request.target is not None]

    def name(value: object) -> str:
        given.append(value)
        return named(value)

    text = dump_toml(resolved(plan), default=name)
    if given:
        return "# Started from Python: this file names the objects that were given, it cannot make them again.\n" + text
    return text


def fingerprint_of(plan: Plan, plugins: PluginManager) -> dict[str, Any]:
    """Return what must be the same on every rank of a run."""
    return {
        "configuration": hashlib.sha256(config_text(plan).encode()).hexdigest()[:16],
        "plugins": [f"{each.instance} ({each.origin})" for each in plugins],
        **versions(),
    }
