"""Calls the model server over HTTP, with deadlines, one retry and a circuit breaker for each model.

The public entry is `client.ReplicaClient`; `fake` holds doubles of it for tests. This folder must not know tasks,
texts or tokenizers.
"""
