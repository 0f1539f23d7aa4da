"""The model families: packed encoders and heads over `transformers` checkpoints, one module per family.

The public entries are `registry.FAMILIES` and `checkpoint_facts.checkpoint_facts`. This folder must not know engines,
calls or schedulers.
"""
