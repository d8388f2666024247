"""What is said of a run once: its configuration, hyper-parameters, graph and end, in a file that is written anew."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from hookloop_tensorboard.history import ABOUT
from hookloop_tensorboard.records import record

if TYPE_CHECKING:
    from hookloop import Run

# What says where a run is and who is told of it, and nothing of what is trained.
NO_PARAMETERS = (
    "plugins.autoload",
    "plugins.disable",
    "plugins.order",
    "run.log_every",
    "run.name",
    "run.overwrite",
    "run.run_dir",
    "run.runs_dir",
)


class About:
    """The file that TensorBoard reads first; a resumed run replaces what the one before it said."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.said: list[bytes] = []

    def begin(self, run: Run) -> None:
        """Say how the run is configured, leaving out plugins that only look on. Raises OSError."""
        from hookloop_tensorboard import events
        from hookloop_tensorboard.settings import flat

        left_out = [*NO_PARAMETERS, *(f"plugins.{each.instance}" for each in run.plugins if each.role == "observer")]
        started = time.time()
        first, _ = events.first_events(0)
        self.said = [first, events.hyper_parameters(flat(run.settings, left_out), started)]
        config = run.directory / "config.toml"
        if config.exists():
            shown = f"```toml\n{config.read_text(encoding='utf-8')}```"
            self.said.append(events.text(0, started, "config", shown))
        self.write()

    def add(self, said: list[bytes]) -> None:
        """Say something more. Raises OSError."""
        self.said.extend(said)
        self.write()

    def end(self, outcome: str) -> None:
        """Say how the run ended, unless it is going to be resumed. Raises OSError."""
        from hookloop_tensorboard import events

        if self.said and outcome in ("completed", "stopped", "failed"):
            self.add([events.end_of_run(time.time(), failed=outcome == "failed")])

    def write(self) -> None:
        """Write the file beside the old one, and then in its place."""
        beside = self.directory / ".about-in-writing"
        beside.write_bytes(b"".join(map(record, self.said)))
        beside.replace(self.directory / ABOUT)
