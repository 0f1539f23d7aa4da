"""Decides which rows the next forward pass takes, runs the passes on threads, and gives calls their results.

The entry is `Runner` in runner.py: `submit` admits a call or refuses it, and the returned call has a future. The rules
are in scheduler.py, which is pure. Must not know HTTP, the wire, Ray, or what an engine computes.
"""
