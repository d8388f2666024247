"""`hookloop plugins`: what is installed and what becomes of it, one plugin in detail, a check, a new package."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from hookloop.cli.output import emit, emit_json, facts, table, wrap
from hookloop.cli.parameters import ANSWER, SOURCE, SWITCHES, ConfigFile, Output, Source, Switches
from hookloop.cli.source import read_tree
from hookloop.errors import ConfigError, suggest

Kind = Literal["observer", "actor", "provider"]
KIND = "An observer never changes the numbers, an actor changes training, a provider offers things by name."
DIRECTORY = "Where to put the folder hookloop-NAME; the current one by default."
PluginName = Annotated[str, Parameter(help="An installed plugin, file.py, file.py:attr or module:attr.")]

app = App(name="plugins", help="List the plugins; look at one, check one, or begin one of your own.")


@app.default
def overview(
    config: ConfigFile = None,
    /,
    *,
    source: Source = SOURCE,
    switches: Switches = SWITCHES,
    output: Output = ANSWER,
) -> None:
    """List the plugins, as hookloop plugins list does; look at one, check one, or begin one of your own."""
    if config is not None and not config.suffix and not config.exists():
        known = [name for name in app if not name.startswith("-")]
        raise ConfigError(
            f"hookloop plugins has no command '{config}', and there is no such file."
            f"{suggest(str(config), known)} Commands: {', '.join(known)}."
        )
    list_plugins(config, source=source, switches=switches, output=output)


@app.command(name="list")
def list_plugins(
    config: ConfigFile = None,
    /,
    *,
    source: Source = SOURCE,
    switches: Switches = SWITCHES,
    output: Output = ANSWER,
) -> None:
    """List every plugin with its state, in a configuration or without one; only those that are active are imported."""
    from hookloop.cli.survey import survey
    from hookloop.discovery import known_distributions

    rows, problems = survey(read_tree(config, source), switches.plugins, os.environ)
    if output.json:
        emit_json([vars(row) for row in rows])
    elif rows:
        cells = [(row.name, row.version, row.distribution, row.role, with_hooks(row.told, row.hooks)) for row in rows]
        emit(table(("name", "version", "distribution", "role", "state"), cells))
    else:
        first = next(iter(known_distributions().values()))
        emit(f"no plugin is installed; the first to get is: pip install {first}")
    for problem in problems:
        print(f"warning: {problem}", file=sys.stderr)


def with_hooks(state: str, hooks: tuple[str, ...]) -> str:
    """Return the last cell of a row."""
    return f"{state}\n{', '.join(hooks)}" if hooks else state


@app.command
def show(name: PluginName, /, *, output: Output = ANSWER) -> None:
    """Show one plugin, which is imported: where it comes from, its role, the hooks that it implements, its options."""
    from hookloop.cli.option_table import options_of
    from hookloop.cli.survey import entry_point_of, find_decision, portray, role_and_hooks

    portrait = portray(find_decision(name))
    candidate, options = portrait.candidate, options_of(portrait.model)
    role, hooks = role_and_hooks(portrait)
    page = {
        "name": candidate.name,
        "distribution": candidate.distribution,
        "version": candidate.version,
        "entry_point": entry_point_of(candidate),
        "role": role,
        "autoload": candidate.autoload,
        "summary": summary_of(portrait.target),
        "hooks": list(hooks),
        "options": [vars(option) for option in options],
    }
    if output.json:
        emit_json(page)
        return
    emit("\n".join(wrap(str(page["summary"]))) + "\n" if page["summary"] else "")
    shown = {**page, "version": candidate.version or "-", "hooks": ", ".join(hooks)}
    shown["autoload"] = "on by being installed" if candidate.autoload else f"on by [plugins.{candidate.name}]"
    names = {"name": "plugin", "entry_point": "entry point", "autoload": "switched"}
    order = ("name", "distribution", "version", "entry_point", "role", "autoload", "hooks")
    emit(facts((names.get(key, key), str(shown[key])) for key in order))
    if options:
        cells = [(each.name, each.default or "required", f"{each.type}. {each.doc}".strip()) for each in options]
        emit("\n" + table(("option", "default", "type and meaning"), cells))


def summary_of(target: Any) -> str:
    """Return the first sentence of the plugin's docstring."""
    return " ".join((getattr(target, "__doc__", "") or "").strip().partition("\n\n")[0].split())


@app.command
def check(name: PluginName, /, *, output: Output = ANSWER) -> None:
    """Import a plugin and tell of everything about it that would not work: its Config, role, hooks and metadata."""
    from hookloop.cli.plugin_check import faults_of
    from hookloop.cli.survey import find_decision
    from hookloop.errors import Problem

    decision = find_decision(name)
    faults = faults_of(decision)
    if faults:
        raise ConfigError([Problem("", f"plugin '{decision.instance}' ({decision.origin})", each) for each in faults])
    if output.json:
        emit_json({"ok": True, "plugin": decision.instance, "origin": decision.origin, "problems": []})
    else:
        emit(f"OK: plugin '{decision.instance}' ({decision.origin})")


@app.command
def new(
    name: Annotated[str, Parameter(help="What [plugins.NAME] will be: small letters, digits and single dashes.")],
    /,
    *,
    directory: Annotated[Path, Parameter(name="--dir", help=DIRECTORY, metavar="DIR", show_default=False)] = Path(),
    kind: Annotated[Kind, Parameter(help=KIND)] = "observer",
    output: Output = ANSWER,
) -> None:
    """Write a package for a new plugin: metadata, code, a test and a README, ready to install."""
    from hookloop.cli.scaffold import write_plugin

    folder, files = write_plugin(name, directory, kind)
    if output.json:
        emit_json({"directory": folder, "files": files})
        return
    emit("\n".join(f"wrote {path}" for path in files))
    emit(f"\nInstall and test it:\n  pip install -e {folder}\n  pytest {folder}")
