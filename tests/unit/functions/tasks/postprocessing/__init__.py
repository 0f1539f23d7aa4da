"""Tests of functions/tasks/postprocessing."""
