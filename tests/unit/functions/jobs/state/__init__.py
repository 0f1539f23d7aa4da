"""Tests of `functions/jobs/state`."""
