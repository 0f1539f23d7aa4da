"""The engine: it answers rows with one packed forward pass over real weights.

The public entries are `load_engine.load_engine` and `run_call.infer`; `engine.Engine` is the contract. This folder must
not know HTTP, Ray, schedulers or where a row came from.
"""
