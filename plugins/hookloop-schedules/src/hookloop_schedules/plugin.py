"""The plugin ``schedules``: offers the schedules by name, and adds the command that draws them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from hookloop import hookimpl

if TYPE_CHECKING:
    from cyclopts import App


class Schedules:
    """Offers what ``[schedule] use = "NAME"`` may name; it is on by being installed."""

    role = "provider"

    @hookimpl
    def provide_schedules(self) -> Mapping[str, Callable[..., Any]]:
        """Offer the schedules of this package, and torch's own by their class names."""
        from hookloop_schedules.offered import offered

        return offered()

    @hookimpl
    def add_commands(self, app: App) -> None:
        """Add ``hookloop schedule plot``."""
        from hookloop_schedules.command import add_commands

        add_commands(app)
