"""The stages of a request: route, tokenize, pack_calls, infer, assemble.

`Pipeline` in `pipeline.py` runs them in this order. Effects are handed in. Must not know AWS or the network.
"""
