"""Writes metrics and predictions as CSV files."""

from hookloop_csv.plugin import MetricsCsv
from hookloop_csv.predictions import PredictionsCsv
from hookloop_csv.table import Table, TableError

__all__ = ["MetricsCsv", "PredictionsCsv", "Table", "TableError"]
