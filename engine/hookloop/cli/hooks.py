"""`hookloop hooks`: who implements which hook, and the order in which one hook calls them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from hookloop.cli.output import emit, emit_json, table, wrap
from hookloop.cli.parameters import ANSWER, SOURCE, SWITCHES, ConfigFile, Output, Source, Switches
from hookloop.cli.source import read_tree
from hookloop.errors import ConfigError, suggest

if TYPE_CHECKING:
    from hookloop.dispatch import Implementation
    from hookloop.manager import PluginManager
    from hookloop.reference import Spec

HOOK = "Show this hook alone: who is called, in the order of the calls. Hooks that end something call in reverse."
MARKS = ("wrapper", "tryfirst", "trylast")


def hooks(
    hook: Annotated[str | None, Parameter(help=HOOK, show_default=False)] = None,
    config: ConfigFile = None,
    /,
    *,
    source: Source = SOURCE,
    switches: Switches = SWITCHES,
    output: Output = ANSWER,
) -> None:
    """Show who implements which hook, with the plugins of a configuration or else those that are on by themselves."""
    from hookloop.reference import all_specs

    if hook is not None and hook.endswith(".toml"):
        if config is not None:
            raise ConfigError(f"'{hook}' is no hook. A second configuration is named with -c.")
        config = Path(hook)
        hook = None
    specs = all_specs()
    if hook is not None and hook not in specs:
        raise ConfigError(f"there is no hook '{hook}'.{suggest(hook, specs)} All hooks: hookloop hooks")
    plugins = active_plugins(config, source, switches)
    if hook is None:
        show_all(specs, plugins, output)
    else:
        show_one(specs[hook], plugins, output)


@dataclass(frozen=True)
class Call:
    """One place in a chain: whose function is called, and what it asked for."""

    plugin: str
    origin: str
    marks: tuple[str, ...]
    function: str


def calls_of(hook: str, plugins: PluginManager) -> list[Call]:
    """Return who is called by *hook*, wrappers first, in the order of the calls."""
    origins = {each.instance: each.origin for each in plugins}
    return [call_of(each, origins) for each in plugins.implementations(hook)]


def call_of(implementation: Implementation, origins: Mapping[str, str]) -> Call:
    """Return the place of *implementation*."""
    code = implementation.function.__code__
    marks = tuple(mark for mark in MARKS if getattr(implementation, mark))
    plugin = implementation.plugin_name
    return Call(plugin, origins[plugin], marks, f"{code.co_filename}:{code.co_firstlineno}")


def active_plugins(config: Path | None, source: Source, switches: Switches) -> PluginManager:
    """Return the plugins that a run would have, the engine's own among them, in call order."""
    from hookloop.draft import read_draft
    from hookloop.loading import assemble
    from hookloop.plan import spec_parameters

    draft = read_draft(read_tree(config, source), switches=switches.plugins, environ=os.environ)
    error = draft.error()
    if error is not None:
        raise error
    loaded = [assemble(each.decision, each.target, each.options, spec_parameters()) for each in draft.checked]
    from hookloop.cli import lineup

    return lineup.complete(loaded, draft.options, draft.policy.order, has_metrics=bool(draft.parts["metrics"]))


def show_all(specs: dict[str, Spec], plugins: PluginManager, output: Output) -> None:
    """Print every hook with the names of those who implement it."""
    called = {name: calls_of(name, plugins) for name in specs}
    if output.json:
        emit_json([as_document(spec, called[name]) for name, spec in specs.items()])
        return
    rows = [(name, spec.kind, ", ".join(each.plugin for each in called[name]) or "-") for name, spec in specs.items()]
    emit(table(("hook", "kind", "called, in this order"), rows))


def show_one(spec: Spec, plugins: PluginManager, output: Output) -> None:
    """Print one hook with everything about those who implement it."""
    from hookloop.reference import parse

    calls = calls_of(spec.name, plugins)
    if output.json:
        emit_json(as_document(spec, calls))
        return
    emit(f"{spec.name}({', '.join(spec.arguments)})\n" + "\n".join(wrap(parse(spec.doc).summary)))
    reverse = ", in reverse order" if spec.kind == "ending" else ""
    emit(f"Kind: {spec.kind}{reverse}. Ranks: {spec.scope}. Since {spec.since}.\n")
    rows = [
        (str(number), each.plugin, ", ".join(each.marks), f"{each.origin}\n{shorter(each.function)}")
        for number, each in enumerate(calls, 1)
    ]
    emit(table(("", "plugin", "asks for", "from"), rows) if rows else "Nobody implements it.")


def shorter(place: str) -> str:
    """Return a file and line, from the current directory where the file is below it."""
    path = Path(place)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else place


def as_document(spec: Spec, calls: Sequence[Call]) -> dict[str, Any]:
    """Return one hook for a script."""
    return {
        "hook": spec.name,
        "group": spec.group,
        "kind": spec.kind,
        "scope": spec.scope,
        "calls": [vars(each) for each in calls],
    }
