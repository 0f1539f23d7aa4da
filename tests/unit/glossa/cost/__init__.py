"""Tests of the cost calculator."""
