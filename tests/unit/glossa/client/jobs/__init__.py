"""Tests of batch jobs in the Python client."""
