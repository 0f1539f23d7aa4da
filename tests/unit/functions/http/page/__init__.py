"""Tests of the playground and the API reference, as files and routes."""
