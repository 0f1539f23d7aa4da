"""The stages of a request: route, tokenize, pack_calls, infer, assemble.

`Pipeline` in `pipeline.py` runs them in this order. Each stage is a pure function. Must not know HTTP, AWS or the
network.
"""
