"""Tests of what compares engines and servers."""
