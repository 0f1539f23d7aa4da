"""Breaks a running local stack on purpose, under load, and reports what callers see: `make chaos`.

A scenario says what is broken when, and what must hold. One runner runs it, and one report says what was seen. The
client under load is ours, and every answer is compared with the right one. This folder must not know how the service
protects itself: it sees requests, answers and processes.
"""
