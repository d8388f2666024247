"""For plugins that log elsewhere: one row a step, who hands it over and when, and a run of a service to log to."""

from hookloop.json_rows import encode_row, to_json
from hookloop.loggers.groups import named_groups
from hookloop.loggers.rows import Row, Rows
from hookloop.loggers.sessions import LogSession, SessionLogger, lasting_id, safe_name
from hookloop.loggers.worker import Worker
from hookloop.row_log import COUNTERS, column

__all__ = [
    "COUNTERS",
    "LogSession",
    "Row",
    "Rows",
    "SessionLogger",
    "Worker",
    "column",
    "encode_row",
    "lasting_id",
    "named_groups",
    "safe_name",
    "to_json",
]
