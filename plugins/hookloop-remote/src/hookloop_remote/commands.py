"""`hookloop remote`: deliver what a run could not."""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from hookloop import ConfigError
from hookloop_remote.endpoint import parse_url
from hookloop_remote.options import make_backoff, make_poster, make_wire
from hookloop_remote.queues import folder_of, open_leftovers, rows_waiting
from hookloop_remote.sender import Sender
from hookloop_remote.settings import config_of, tables_in

Place = Annotated[Path, Parameter(help="A run directory, such as runs/digits/latest.")]
Seconds = Annotated[float, Parameter(help="How long to try.")]
Url = Annotated[str | None, Parameter(help="Another URL than that of the run.")]
AsJson = Annotated[bool, Parameter(name="--json", negative=(), show_default=False, help="Answer with JSON.")]

app = App(name="remote", help="Send rows that a run could not.")


@app.command
def send(run: Place, /, *, seconds: Seconds = 60.0, url: Url = None, as_json: AsJson = False) -> int:
    """Send the rows that wait in a run directory, as its run would. The exit code is 1 when some are left."""
    if not 0 < seconds < math.inf:
        raise ConfigError(f"--seconds {seconds}: how long to try must be more than 0.")
    tables = tables_in(run)
    if not tables:
        raise ConfigError(f"{run / 'config.toml'} has no plugin 'remote' with options: no rows of it wait there.")
    reports = [send_of(run, name, table | ({"url": url} if url else {}), seconds) for name, table in tables.items()]
    if as_json:
        print(json.dumps(reports, indent=2), flush=True)
    else:
        for each in reports:
            print(f"{each['instance']}: {each['delivered']} rows sent to {each['url']}, {each['waiting']} left", end="")
            print(f" ({each['last_error']})" if each["waiting"] else "")
    return int(any(each["waiting"] for each in reports))


def send_of(run: Path, instance: str, table: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Send the rows of one instance and return what became of them."""
    folder = folder_of(run, instance)
    config = config_of(run, instance, table, os.environ)
    spools = open_leftovers(folder, config.spool_limit_bytes)
    if not spools and rows_waiting(folder):
        print(f"{instance}: a run uses {folder}, and sends them itself", file=sys.stderr)
    report = {"instance": instance, "url": parse_url(config.url).label, "delivered": 0, "waiting": 0, "last_error": ""}
    if spools:
        parts = make_poster(config), make_wire(config), spools, make_backoff(config)
        sender = Sender(*parts, drain_seconds=seconds, silent_seconds=seconds, name=instance)
        sender.start()
        sender.stop()
        waiting = sum(spool.pending_rows for spool in spools) + sender.tally.refused
        report |= {"delivered": sender.tally.delivered, "waiting": waiting, "last_error": sender.tally.last_error}
    return report
