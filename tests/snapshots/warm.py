"""Run as a program by the tests: forks a child for each scenario that it is told, so that torch is imported once.

One line of JSON in: the scenario and its options. Two lines out: the id of the child, and then its exit status.
"""

import json
import os
import resource
import signal
import sys
from pathlib import Path

import torch

from hookloop import SnapshotError, snapshots

FATAL = ("fsync", "rename", "mkdir", "unlink", "rmdir")


def state(step):
    return {
        "counters": {"step": step},
        "model": {"weight": torch.full((8,), float(step))},
        "optimizers": [{"momentum": torch.full((8,), -float(step))}],
    }


def saves(run_dir, journal, *, kill_at=0, go=None):
    """Save four times, keep two, and save the last step once more. The journal gets a line after each.

    With *kill_at*, the process kills itself just before that call of `os` that changes the disk. With *go*, it waits
    until somebody opens that fifo.
    """
    if go:
        Path(go).read_bytes()
    if kill_at:
        die_at(kill_at)
    directory = Path(run_dir, "checkpoints", "checkpoint")
    for step in (1, 2, 3, 4, 4):
        name = f"step-{step:08}"
        try:
            snapshots.write(directory, name, state(step), instance="checkpoint")
            for old in sorted(each for each in directory.iterdir() if not each.name.startswith("."))[:-2]:
                snapshots.remove(old)
        except (SnapshotError, OSError) as error:
            note(journal, f"failed {step} {error}")
        else:
            note(journal, f"saved {step}")


def note(journal, text):
    descriptor = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.writev(descriptor, [f"{text}\n".encode()])  # a call of its own: faults are injected into write
    os.close(descriptor)


def die_at(number):
    """Make the process kill itself just before the call *number* of those that change the disk."""
    calls = iter(range(1, number))

    def fatal(function):
        def call(*arguments, **keywords):
            if next(calls, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **keywords)

        return call

    for name in FATAL:
        setattr(os, name, fatal(getattr(os, name)))


def large_save(directory, journal, *, limit_bytes):
    """Save a state that is larger than a file may be."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))
    large = {"counters": {"step": 2}, "model": {"weight": torch.ones(limit_bytes)}}
    try:
        snapshots.write(Path(directory), "step-00000002", large, instance="checkpoint")
    except SnapshotError as error:
        note(journal, f"{type(error.__cause__).__name__}: {error}")


def main():
    torch.set_num_threads(1)
    state(0)
    for line in sys.stdin:
        options = json.loads(line)
        scenario = globals()[options.pop("scenario")]
        child = os.fork()
        if not child:
            status = 1
            try:
                scenario(**options)
                status = 0
            finally:
                os._exit(status)
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    from hookloop.snapshots import copying, writing  # noqa: F401 - imported once, not in each child

    main()
