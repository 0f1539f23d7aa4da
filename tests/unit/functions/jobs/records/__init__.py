"""Tests of `functions/jobs/records`."""
