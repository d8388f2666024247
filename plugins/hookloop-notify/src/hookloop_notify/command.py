"""Runs a program that takes the message; one that takes too long is killed with all that it started."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import IO

from hookloop_notify.channel import Message, Unsent, Until
from hookloop_notify.options import Command
from hookloop_notify.templates import render, shortened

PREFIX = "HOOKLOOP_NOTIFY_"
POLL_SECONDS = 0.1
READ_BYTES = 65536
MOST_CHARACTERS = 20_000  # Linux takes 128 KiB for an argument or a variable


class Program:
    """The message on its standard input, the fields in its environment. Its files are no pipes: nothing can fill up."""

    def __init__(self, options: Command) -> None:
        self.options = options
        self.place = f"command '{options.args[0]}'"

    def send(self, message: Message, until: Until) -> None:
        """Send *message*, or raise Unsent; a command is never tried twice, as it may have done a part of its work."""
        with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stderr:
            stdin.write(message.text.encode())
            stdin.seek(0)
            code = self._run(message, stdin, stderr, until)
            if code:
                stderr.seek(max(0, stderr.seek(0, os.SEEK_END) - READ_BYTES))
                lines = stderr.read().decode("utf-8", "replace").strip().splitlines()
                how = f"was killed by signal {-code}" if code < 0 else f"exited with {code}"
                raise Unsent(f"it {how}: {lines[-1]}" if lines else f"it {how}")

    def _run(self, message: Message, stdin: IO[bytes], stderr: IO[bytes], until: Until) -> int:
        fields, metrics = message.all_fields, message.metrics
        program, *templates = self.options.args
        try:
            process = subprocess.Popen(
                [program, *(shortened(render(each, fields, metrics), MOST_CHARACTERS) for each in templates)],
                stdin=stdin,
                stdout=subprocess.DEVNULL,  # the standard output of the run is not the command's
                stderr=stderr,
                env={**os.environ, **variables(fields)},
                start_new_session=True,  # a group of its own, to be killed as one, and out of the reach of Ctrl-C
            )
        except (OSError, ValueError) as error:
            raise Unsent(f"it could not be started: {error}") from None
        return finish(process, until)


def finish(process: subprocess.Popen[bytes], until: Until) -> int:
    """Return the exit code of *process*; kill it, and raise Unsent, when the time is over."""
    while True:
        with suppress(subprocess.TimeoutExpired):
            return process.wait(POLL_SECONDS)
        if time.monotonic() >= until():
            kill(process)
            raise Unsent("it did not end in time, and was killed")


def kill(process: subprocess.Popen[bytes]) -> None:
    """End *process* and its children at once."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def variables(fields: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables that hold *fields*."""
    return {f"{PREFIX}{name.upper()}": shortened(value, MOST_CHARACTERS) for name, value in fields.items()}
