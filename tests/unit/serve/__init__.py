"""The model side, one test file per module."""
