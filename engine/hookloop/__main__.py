"""The commands `hookloop` and `python -m hookloop`, which `torchrun -m hookloop fit run.toml` runs on each rank."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import time
from types import FrameType

PATIENCE_SECONDS = 1.0


def main() -> int:
    """Run the command line and return its exit code."""
    # Called after what libraries register later: from there on Python would let a Ctrl-C kill the process.
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
    try:
        from hookloop.cli.main import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # reading the modules, or saying what happened, takes long enough for one more Ctrl-C
        code = 130
    leave_in_peace(code)
    return code


def leave_in_peace(code: int) -> None:
    """Have a Ctrl-C no longer break off the end of Python, whose answer would be tracebacks of libraries.

    When that end takes longer than a second, as threads that hang make it, one more Ctrl-C exits with *code* at once.
    """
    since = time.monotonic()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if time.monotonic() - since > PATIENCE_SECONDS:
            os._exit(code)

    signal.signal(signal.SIGINT, on_signal)


if __name__ == "__main__":
    sys.exit(main())
