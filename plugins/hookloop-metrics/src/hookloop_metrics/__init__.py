"""Offers the metrics of torchmetrics by name, for tables ``[metrics.NAME]``."""

from hookloop_metrics.plugin import Metrics

__all__ = ["Metrics"]
