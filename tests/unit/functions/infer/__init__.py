"""Tests of the synchronous path."""
