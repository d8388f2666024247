"""`hookloop fit`, `validate`, `test` and `predict`: run what the configuration says, and tell what came of it."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING, Any, Literal

from hookloop.cli.logs import process_rank, show_logs
from hookloop.cli.output import emit, emit_json, reserved_stdout
from hookloop.cli.parameters import (
    ANSWER,
    DESTINATIONS,
    LOUDNESS,
    MODEL,
    NEWEST,
    RESUMPTION,
    SOURCE,
    SWITCHES,
    ConfigFile,
    Destination,
    Loudness,
    Model,
    Output,
    Resumption,
    Source,
    Switches,
)
from hookloop.cli.resuming import configuration_of, in_its_place
from hookloop.cli.source import read_tree, require_configuration
from hookloop.cli.summary import summarize
from hookloop.errors import ConfigError, HookloopError
from hookloop.plan import Plan, make_plan

if TYPE_CHECKING:
    from hookloop.result import Result

EXIT_CODES = {"completed": 0, "stopped": 0, "failed": 1, "interrupted": 130, "preempted": 143}

Command = Literal["fit", "validate", "test", "predict"]


def fit(
    config: ConfigFile = None,
    /,
    *,
    source: Source = SOURCE,
    switches: Switches = SWITCHES,
    destination: Destination = DESTINATIONS,
    resumption: Resumption = RESUMPTION,
    output: Output = ANSWER,
    loudness: Loudness = LOUDNESS,
) -> int:
    """Train what the configuration says."""
    if resumption.resume is not None and destination.overwrite:
        raise ConfigError("--resume goes on with a run, and --overwrite replaces it: give one.")
    if config is None and not source.files:
        config = configuration_of(resumption.resume)
    return run("fit", config, source, switches, destination, MODEL, output, loudness, resumption.resume)


def validate(
    config: ConfigFile = None,
    /,
    *,
    source: Source = SOURCE,
    switches: Switches = SWITCHES,
    destination: Destination = DESTINATIONS,
    model: Model = MODEL,
    output: Output = ANSWER,
    loudness: Loudness = LOUDNESS,
) -> int:
    """Compute loss and metrics on the validation data; in a directory that holds a run, as a part of it."""
    return run("validate", config, source, switches, destination, model, output, loudness)


def run_test(
    config: ConfigFile = None,
    /,
    *,
    source: Source = SOURCE,
    switches: Switches = SWITCHES,
    destination: Destination = DESTINATIONS,
    model: Model = MODEL,
    output: Output = ANSWER,
    loudness: Loudness = LOUDNESS,
) -> int:
    """Compute loss and metrics on the test data; in a directory that holds a run, as a part of it."""
    return run("test", config, source, switches, destination, model, output, loudness)


def predict(
    config: ConfigFile = None,
    /,
    *,
    source: Source = SOURCE,
    switches: Switches = SWITCHES,
    destination: Destination = DESTINATIONS,
    model: Model = MODEL,
    output: Output = ANSWER,
    loudness: Loudness = LOUDNESS,
) -> int:
    """Predict; the plugins take the outputs."""
    return run("predict", config, source, switches, destination, model, output, loudness)


def run(
    command: Command,
    config: Path | None,
    source: Source,
    switches: Switches,
    destination: Destination,
    model: Model,
    output: Output,
    loudness: Loudness,
    resume: str | None = None,
) -> int:
    """Run *command*, tell how it ended, and return the exit code for that; a failure is raised."""
    show_logs(quiet=loudness.quiet)
    tree = in_its_place(read_tree(config, source, destination), config, resume)
    require_configuration(command, config, source, tree)
    check_weights(model)
    with reserved_stdout(output.json):
        plan = make_plan(tree, switches=switches.plugins, environ=os.environ)
        result = execute(plan, command, model, resume)
    code = EXIT_CODES[result.outcome]
    if process_rank() == 0 and output.json:
        emit_json(as_document(result, code))
    elif process_rank() == 0 and not loudness.quiet:
        emit(summarize(result, shlex.join(again(command, plan, result, model))))
    return code


def check_weights(model: Model) -> None:
    """Raise ConfigError for a file that is not there, before anything is imported or built."""
    if model.weights is not None and not model.weights.is_file():
        raise ConfigError(f"--weights {model.weights}: there is no such file.")


def execute(plan: Plan, command: Command, model: Model, resume: str | None) -> Result:
    """Run *plan*. Everything before this needs no torch."""
    from hookloop import session

    name: Literal["train", "validate", "test", "predict"] = "train" if command == "fit" else command
    try:
        return session.execute(
            plan,
            name,
            clock=time.monotonic,
            environ=os.environ,
            weights=model.weights,
            resume=True if resume == NEWEST else resume,
            from_command_line=True,
        )
    except SystemExit as error:
        # With its exit code a run that did not end well could pass for one that did.
        raise HookloopError(f"{last_place(error)} ended the run with sys.exit({error.code!r}).") from error


def last_place(error: BaseException) -> str:
    """Return the file and line that raised *error*."""
    frame = extract_tb(error.__traceback__)[-1]
    return f"{frame.filename}:{frame.lineno}"


def as_document(result: Result, code: int) -> dict[str, Any]:
    """Return the result for a script: everything but the state and the history, which are on disk."""
    names = ("outcome", "stop_reason", "directory", "epoch", "step", "samples", "elapsed_seconds", "metrics")
    more = ("plugin_seconds", "best_checkpoint", "last_checkpoint")
    document = {name: getattr(result, name) for name in (*names, *more)}
    return document | {"failures": [vars(each) for each in result.failures], "exit_code": code}


def again(command: Command, plan: Plan, result: Result, model: Model) -> Sequence[str]:
    """Return the words of the command that does the same once more, or goes on where the run was stopped."""
    words = ["hookloop", command, str(result.directory / "config.toml")]
    if command == "fit" and result.outcome not in ("completed", "stopped") and result.last_checkpoint is not None:
        return ["hookloop", command, "--resume", str(result.directory)]
    if command == "fit" and plan.options.run_dir is not None and not plan.options.overwrite:
        words.append("--overwrite")
    return [*words, "--weights", str(model.weights)] if model.weights is not None else words
