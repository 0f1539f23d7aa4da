"""Tests of serve/rows."""
