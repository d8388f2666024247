"""Tells people how a run is doing: by e-mail, webhook or command."""

from hookloop_notify.plugin import Notify

__all__ = ["Notify"]
