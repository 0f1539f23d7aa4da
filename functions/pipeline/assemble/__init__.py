"""Tensors to answers, one file per task."""
