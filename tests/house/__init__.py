"""Tests of the house: what holds for every file of the repository, whatever it does.

Each rule is a function over the graph of imports, over sources or over texts. It is applied to the whole repository,
and to a made-up case that breaks it, so that we know the rule can fail. `rooms.py` has the table of who may import
whom; `graph.py` and `tree.py` read the repository. Must not know what any file computes.
"""
