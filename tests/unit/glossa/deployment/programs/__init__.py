"""Tests of the programs that a deployment runs."""
