"""Logs of a training: JSON lines, TensorBoard, MLflow, as many of them at once as were asked for."""

from __future__ import annotations

from prunecli.training.logs.opening import KINDS, Logs, log_files, open_logs
from prunecli.training.logs.records import TrainingLog

__all__ = ["KINDS", "Logs", "TrainingLog", "log_files", "open_logs"]
