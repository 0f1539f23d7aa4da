"""Tests of `functions/jobs/steps`."""
