"""Runs a command line from its words to its exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cyclopts import CycloptsError

from hookloop.cli.app import make_app
from hookloop.cli.failures import report
from hookloop.cli.output import silence, stdout_is_open
from hookloop.cli.parameters import NEWEST
from hookloop.topology import leave_all_groups

if TYPE_CHECKING:
    from cyclopts import App

WRONG_USAGE = 2


def run(words: Sequence[str]) -> int:
    """Run the command that *words* say and return its exit code; nothing but SystemExit is raised.

    0 is completed or stopped, 1 failed, 2 a wrong command line, configuration or plugin, 130 interrupted, and 143
    preempted.
    """
    try:
        code = call(*make_app(with_resume_path(words)))
        leave_all_groups()
        return code
    except BrokenPipeError as error:
        if stdout_is_open():
            return report(error, as_json="--json" in words)
        silence()
        return 1
    except (Exception, KeyboardInterrupt) as error:
        return report(error, as_json="--json" in words)


def with_resume_path(words: Sequence[str]) -> list[str]:
    """Return the words of a `fit` with the PATH that --resume may lack; what begins with - or ends in .toml is none."""
    complete = list(words)
    if "fit" not in words:  # a plugin's command may have a --resume of its own
        return complete
    for index in reversed([index for index, word in enumerate(words) if word == "--resume"]):
        following = words[index + 1] if index + 1 < len(words) else "-"
        if following.startswith("-") or following.endswith(".toml"):
            complete.insert(index + 1, NEWEST)
    return complete


def call(app: App, words: Sequence[str]) -> int:
    """Parse *words* and call the command; what a plugin's command returns is its exit code, or else is printed."""
    try:
        result: int = app(
            list(words),
            exit_on_error=False,
            print_error=False,
            result_action="print_non_int_return_int_as_exit_code",
        )
    except CycloptsError as error:
        # Another command that runs inside of this one reports its own usage.
        place = " ".join(["hookloop", *(error.command_chain or ())])
        print(f"{place}: {error}\nSee: {place} --help", file=sys.stderr)
        return WRONG_USAGE
    return result
