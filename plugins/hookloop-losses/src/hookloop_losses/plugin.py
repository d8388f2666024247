"""The plugin ``losses``: offers the losses of this package and torch's own by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hookloop import hookimpl


class Losses:
    """Offers losses by name, for ``[loss] use = "NAME"``."""

    role = "provider"

    @hookimpl
    def provide_losses(self) -> Mapping[str, Callable[..., Any]]:
        """Return name → factory; torch is imported only now."""
        from hookloop_losses.catalog import factories

        return factories()
