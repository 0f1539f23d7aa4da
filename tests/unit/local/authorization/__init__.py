"""Tests of what starts and stops the local stack, without starting it."""
