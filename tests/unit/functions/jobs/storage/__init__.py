"""Tests of the contracts of `functions/jobs/storage`, and the AWS resources that they need."""
