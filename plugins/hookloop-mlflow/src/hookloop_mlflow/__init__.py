"""Logs runs to MLflow."""

from hookloop_mlflow.plugin import Mlflow

__all__ = ["Mlflow"]
