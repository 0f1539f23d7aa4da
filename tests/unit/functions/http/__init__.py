"""Tests of functions/http."""
