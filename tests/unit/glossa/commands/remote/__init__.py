"""Tests of the remote commands."""
