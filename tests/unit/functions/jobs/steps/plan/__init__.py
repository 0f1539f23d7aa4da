"""Tests of `functions/jobs/steps/plan`."""
