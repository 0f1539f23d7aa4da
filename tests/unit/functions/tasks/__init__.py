"""Tests of functions/tasks."""
