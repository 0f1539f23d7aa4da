"""Tests of serve/layers."""
