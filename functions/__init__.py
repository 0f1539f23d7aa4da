"""The Lambda side: tokenizes, routes and assembles requests, and runs batch jobs.

`lambdas/` has one file a function. Must not import torch, ray, transformers or numpy.
"""
