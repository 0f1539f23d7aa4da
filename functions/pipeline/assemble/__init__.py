"""Tensors to answers, one file per task."""

from functions.pipeline.assemble.desk import assemble

__all__ = ["assemble"]
