"""`hookloop config`: where each value of a configuration comes from, and the schema of everything it may say."""

from __future__ import annotations

import json
import sys

from cyclopts import App

from hookloop.cli.output import emit, emit_json, table
from hookloop.cli.parameters import ANSWER, DESTINATIONS, SOURCE, ConfigFile, Destination, Output, Source
from hookloop.cli.source import read_tree

app = App(name="config", help="Show where each value comes from, or what there is to configure.")


@app.command
def show(
    config: ConfigFile = None,
    /,
    *,
    source: Source = SOURCE,
    destination: Destination = DESTINATIONS,
    output: Output = ANSWER,
) -> None:
    """Show each value with the file and line, variable or option that it comes from; secrets are not shown.

    Only the files are read: hookloop check says whether what stands in them is right.
    """
    from hookloop.config import redact, split_key, with_defaults
    from hookloop.config import show as rows_of
    from hookloop.options import RunOptions, as_table

    tree = with_defaults(read_tree(config, source, destination), {"run": as_table(RunOptions())})
    rows = rows_of(tree)
    if not output.json:
        emit(table(("key", "value", "from"), rows))
        return
    values = type(tree)(redact(tree.data))
    emit_json([{"key": key, "value": values.value(split_key(key)), "origin": origin} for key, _, origin in rows])


@app.command
def schema() -> None:
    """Print the JSON Schema of the engine and the installed plugins, by which an editor checks and completes a file.

    The plugins are imported; one that cannot be is left out, and named on stderr.
    """
    from hookloop.cli.schema import make_schema

    document, failures = make_schema()
    for failure in failures:
        print(f"warning: left out: {failure}", file=sys.stderr)
    emit(json.dumps(document, indent=2))
