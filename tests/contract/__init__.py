"""The whole API against its own OpenAPI document, and hostile texts through every task.

`python -m tests.contract` runs all of it; the tests of this folder run a sample. From the event to the answer it is the
real code, with an engine without weights. Must not know how a route is answered.
"""
