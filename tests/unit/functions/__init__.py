"""Unit tests of the Lambda side."""
