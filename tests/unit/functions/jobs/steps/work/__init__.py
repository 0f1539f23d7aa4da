"""Tests of `functions/jobs/steps/work`."""
