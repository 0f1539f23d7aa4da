"""Finds out who sends a Bearer token, and answers API Gateway with what this caller may do.

A token is an API key of ours, or a JWT of an issuer that the operator has configured. Must not know bodies, models or
batch jobs: it runs before them, in a function of its own.
"""
