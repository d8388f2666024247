"""The commands: the engine's own, each in a module that is imported when it is called, and those of plugins."""

from __future__ import annotations

from collections.abc import Sequence

from cyclopts import App, Group

from hookloop._version import __version__

HELP = """\
Train PyTorch models with a loop that fires a hook at every event, and plugins that do everything else.

A first run: "hookloop fit run.toml". What a file may say: "hookloop plugins show NAME", "hookloop config schema". \
For commands that the tab key completes: "hookloop --install-completion".
"""
EPILOGUE = """\
Exit codes: 0 completed or stopped, 1 failed, 2 wrong command line, configuration or plugin, 130 interrupted, \
143 preempted. HOOKLOOP_TRACEBACK=1 shows every error with its whole traceback.
"""

RUN_GROUP = Group("Run", sort_key=1)
INSPECT_GROUP = Group("Inspect", sort_key=2)
OTHER_GROUP = Group("Other", sort_key=9)

COMMANDS = {
    "fit": ("running:fit", "Train.", RUN_GROUP),
    "validate": ("running:validate", "Compute loss and metrics on the validation data.", RUN_GROUP),
    "test": ("running:run_test", "Compute loss and metrics on the test data.", RUN_GROUP),
    "predict": ("running:predict", "Predict; the plugins take the outputs.", RUN_GROUP),
    "check": ("check:check", "Do everything but train, and tell of every mistake at once.", INSPECT_GROUP),
    "plugins": ("plugins:app", "List the plugins; look at one, check one, or begin one of your own.", INSPECT_GROUP),
    "hooks": ("hooks:hooks", "Show who implements which hook, in the order of the calls.", INSPECT_GROUP),
    "config": ("configuration:app", "Show where each value comes from, or what there is to say.", INSPECT_GROUP),
    "completion": ("completion:completion", "Print the script that completes commands in your shell.", OTHER_GROUP),
}
OWN_COMMANDS = (*COMMANDS, "--install-completion", "--version", "__complete")


def make_app(words: Sequence[str]) -> tuple[App, list[str]]:
    """Return the command line for *words*, and the words for it.

    A ``-p`` before the command works as after it. The commands of plugins are looked up, which takes time, only when
    *words* may speak of one: plugins that add commands are then imported one by one, for their command alone.
    """
    app = engine_app()
    switches, rest = leading_switches(words)
    if rest and rest[0] in OWN_COMMANDS:
        return app, [*rest, *(part for value in switches for part in ("-p", value))]
    from hookloop.cli.extra import add_plugin_commands

    add_plugin_commands(app, rest, switches)
    return app, rest


def engine_app() -> App:
    """Return the command line with the engine's own commands."""
    app = App(
        name="hookloop",
        help=HELP,
        help_epilogue=EPILOGUE,
        help_format="plaintext",
        version=__version__,
        suppress_keyboard_interrupt=False,  # it would exit without a word, also where --json asks for one
    )
    for number, (name, (place, text, group)) in enumerate(COMMANDS.items()):
        app.command(f"hookloop.cli.{place}", name=name, help=text, group=group, sort_key=number)
    app.register_install_completion_command(group=OTHER_GROUP, help="Install that script for your shell.")
    for flag in ("--help", "--version"):
        app[flag].group = (OTHER_GROUP,)
    return app


def leading_switches(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the values of the ``-p`` that stand before the command, and the words from the command on."""
    switches: list[str] = []
    rest = list(words)
    while rest and rest[0] == "-p" and len(rest) > 1:
        switches.append(rest[1])
        rest = rest[2:]
    return switches, rest
