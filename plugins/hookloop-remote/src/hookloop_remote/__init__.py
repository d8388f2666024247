"""Posts metrics to a web server from a queue on disk, whatever the server does."""

from hookloop_remote.plugin import Remote
from hookloop_remote.spool import Spool

__all__ = ["Remote", "Spool"]
