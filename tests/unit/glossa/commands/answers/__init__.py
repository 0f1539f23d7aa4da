"""Tests of the commands that answer texts in this process."""
