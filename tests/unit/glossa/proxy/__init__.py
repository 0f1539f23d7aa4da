"""Tests of the signing proxy."""
