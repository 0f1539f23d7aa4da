"""Tests of `functions/jobs/api`."""
