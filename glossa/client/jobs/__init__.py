"""Batch jobs: what they are made of, their status, their rows, and the calls that they need.

`glossa.client.jobs.jobs.Jobs` is the `jobs` of a Client. Must not know which tasks there are.
"""
