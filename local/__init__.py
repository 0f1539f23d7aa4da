"""Runs the whole stack on one machine: emulator of AWS, Ray Serve, deploy and demonstration.

Its entries are `local.run` and `local.stop`, which `glossa up` and `glossa stop` call; `make run` and `make stop` call
those. Nothing else of the product imports this folder. Must not know tests and benchmarks.
"""
