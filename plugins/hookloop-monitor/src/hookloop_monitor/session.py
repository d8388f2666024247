"""One run's monitoring: the readers that this process needs, what becomes of a sample, and the words at the end."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hookloop_monitor.allocator import AllocatorReader, cuda_uuids, open_allocator
from hookloop_monitor.cards import Card
from hookloop_monitor.collector import Collector, Reader
from hookloop_monitor.digest import digest, energy_wh
from hookloop_monitor.gpu import GpuReader
from hookloop_monitor.host import HostReader
from hookloop_monitor.notices import Notices
from hookloop_monitor.opening import open_gpus
from hookloop_monitor.processes import ProcessReader, WorkerReader
from hookloop_monitor.sampler import JOIN_SECONDS, Sampler
from hookloop_monitor.thresholds import Watch
from hookloop_monitor.timeline import Timeline
from hookloop_monitor.visible import Place
from hookloop_monitor.window import Window, flatten

if TYPE_CHECKING:
    from hookloop import Run
    from hookloop_monitor.plugin import Monitor

log = logging.getLogger("hookloop.monitor")

FILE = "system.jsonl"


class Session:
    """Samples from `start` to `stop`.

    Attributes:
        window: what was sampled since somebody took it. ``whole``: all of it.
        workers: the processes that this one started.
    """

    def __init__(self, config: Monitor.Config, run: Run, environ: Mapping[str, str]) -> None:
        self.config = config
        self.run = run
        self.environ = environ
        self.window = Window()
        self.whole = Window()
        self.workers = WorkerReader()
        self.place = place_of(run, environ)
        self.notices = Notices(self._note)
        self._labels: dict[str, str] = {}
        self._watch = Watch.parse(config.warn)
        self._timeline = timeline_of(run) if config.timeline else None
        consumers = (self.window.add, self.whole.add, self._write_sample, self._warn)
        self._collector = Collector(self._openers(), consumers, self.notices)
        self._sampler = Sampler(
            config.interval_seconds, self._collector.sample, close=self._collector.close, failed=self._fail
        )

    def start(self) -> None:
        """Begin to sample."""
        about = {"host": socket.gethostname(), "pid": os.getpid(), "rank": self.run.rank}
        self._write(event="start", **about, interval_seconds=self.config.interval_seconds)
        try:
            self._sampler.start()
        except RuntimeError as error:  # a container may have a limit of threads
            self.notices.say(f"nothing is sampled: {error}")

    def stop(self) -> None:
        """End the sampler, and say what the run came to."""
        if not self._sampler.stop():
            log.warning("monitor: a reading has not come back for %g s, and is left behind", JOIN_SECONDS)
        spreads = self.whole.drain()
        for message in self._watch.unmet() if spreads else ():
            self.notices.say(message)
        lines = digest(spreads, self._labels)
        for line in lines:
            log.info("monitor: %s", line)
        summary = flatten(spreads, ("mean", "min", "max"))
        used = energy_wh(spreads, self._labels)
        if used is not None:
            summary["system/energy_wh"] = used
        self._write(event="end", outcome=self.run.outcome, summary=summary)
        timeline, self._timeline = self._timeline, None  # a call that was left behind may still come back
        if timeline is not None:
            timeline.close()

    def _openers(self) -> dict[str, Callable[[], Reader | None]]:
        openers: dict[str, Callable[[], Reader | None]] = {
            "the process": ProcessReader,
            "its workers": lambda: self.workers,
        }
        if self.place.local_rank == 0:
            openers["the machine"] = self._open_host
        openers["the allocator"] = self._open_allocator
        if self.place.reads(self.config.gpus):
            openers["the GPUs"] = self._open_gpus
        return openers

    def _open_host(self) -> HostReader:
        return HostReader(self.run.directory, per_core=self.config.per_core, failed=self._collector.fail)

    def _open_allocator(self) -> AllocatorReader | None:
        return open_allocator(self.run.device)

    def _open_gpus(self) -> GpuReader | None:
        pids = self.workers.pids if self.config.gpu_processes else None
        return open_gpus(self.config.gpus, self.place, self.environ, self.notices, pids=pids, found=self._note_cards)

    def _note_cards(self, cards: Sequence[Card]) -> None:
        self._labels = {card.label: card.name for card in cards}
        self._write(event="cards", cards=[{"label": c.label, "name": c.name, "uuid": c.uuid} for c in cards])

    def _note(self, message: str) -> None:
        self._write(event="notice", text=message)

    def _warn(self, values: Mapping[str, float]) -> None:
        for beyond, message in self._watch.check(values):
            level = logging.WARNING if beyond else logging.INFO
            log.log(level, "monitor: %s, at step %d", message, self.run.step)
            self._write(event="warning" if beyond else "back", text=message)

    def _write_sample(self, values: Mapping[str, float]) -> None:
        self._write(**values)

    def _write(self, **row: Any) -> None:
        if self._timeline is None:
            return
        run = self.run
        try:
            self._timeline.write({"time": time.time(), "step": run.step, "epoch": run.epoch, **row})
        except OSError as error:
            # A full disk ends the timeline, and not the training.
            self._timeline = None
            self.notices.say(f"{FILE} cannot be written, and ends here: {error}")

    def _fail(self, error: Exception) -> None:
        log.debug("sample", exc_info=error)
        self.notices.say(f"a sample failed: {type(error).__name__}: {error}", key=type(error).__name__)


def timeline_of(run: Run) -> Timeline:
    """Return the timeline of a run, begun anew unless the run is resumed; each rank but the first has its own."""
    stem, _, suffix = FILE.partition(".")
    path = Path(run.directory) / (FILE if run.rank == 0 else f"{stem}.rank{run.rank}.{suffix}")
    return Timeline(path, anew=run.attempt == 0 and run.resumed_from is None)


def place_of(run: Run, environ: Mapping[str, str]) -> Place:
    """Return where this process stands, as its launcher and CUDA say."""
    on_cuda = run.device.type == "cuda"
    index = (run.device.index or 0) if on_cuda else None
    return Place(
        local_rank=number(environ, "LOCAL_RANK", 0),
        local_world_size=number(environ, "LOCAL_WORLD_SIZE", 1),
        device_index=index,
        uuids=cuda_uuids() if on_cuda else (),
    )


def number(environ: Mapping[str, str], name: str, default: int) -> int:
    """Return a variable that a launcher sets."""
    text = environ.get(name, "")
    return int(text) if text.isdecimal() else default
