"""`hookloop check`: everything but training, so that a mistake shows before a job waits in a queue for hours."""

from __future__ import annotations

import os
from collections.abc import Mapping

from hookloop.cli.output import emit, emit_json, facts, reserved_stdout
from hookloop.cli.parameters import ANSWER, SOURCE, SWITCHES, ConfigFile, Output, Source, Switches
from hookloop.cli.source import read_tree, require_configuration
from hookloop.draft import read_draft
from hookloop.errors import ConfigError
from hookloop.plan import NO_TASK, make_plan


def check(
    config: ConfigFile = None,
    /,
    *,
    source: Source = SOURCE,
    switches: Switches = SWITCHES,
    output: Output = ANSWER,
) -> int:
    """Read the configuration, import and build everything that it names, and make no run.

    Everything that is wrong with the configuration is told at once. The task is built with its data, the model, the
    optimizers, schedules and metrics, but no batch is read and no plugin's hook is called.
    """
    tree = read_tree(config, source)
    require_configuration("check", config, source, tree)
    with reserved_stdout(output.json):
        draft = read_draft(tree, switches=switches.plugins, environ=os.environ)
        # Where torch begins: a file with a syntax error, say, is not worth its two seconds.
        from hookloop.cli import trial

        problems = trial.find_problems(draft, [] if "task" in tree.data else [NO_TASK])
        if problems:
            raise ConfigError(problems)
        found = trial.build_everything(make_plan(tree, switches=switches.plugins, environ=os.environ))
    if output.json:
        emit_json({"ok": True, "problems": [], **found})
    else:
        emit(f"OK\n{facts((name, told(value)) for name, value in found.items())}")
    return 0


def told(value: object) -> str:
    """Return *value* as a person reads it."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {'?' if each is None else each}" for name, each in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value)
