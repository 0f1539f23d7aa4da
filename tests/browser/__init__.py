"""Tests of the playground and the API reference in headless Chromium.

`.venv-browser` runs them with Debian's browser. The API under test is a process of `.venv`: `tests/browser/server.py`.
"""
