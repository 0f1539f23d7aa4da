"""One file a task: its parameters, the forms of its inputs, the windows it wants, and how its answer is made.

`registry.py` lists them. Must not know the pipeline, HTTP or AWS.
"""
