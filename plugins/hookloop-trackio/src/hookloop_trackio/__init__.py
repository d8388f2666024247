"""Logs runs to trackio."""

from hookloop_trackio.plugin import Trackio

__all__ = ["Trackio"]
