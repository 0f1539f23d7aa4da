"""Real clients of other ecosystems against our routes: `python -m tests.conformance`, or `make conformance`.

Each client runs in an environment of its own, so that no library of theirs comes into ours. The scripts must not know
how a route is made.
"""
