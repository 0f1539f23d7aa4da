"""Answers one shard: claims it, reads its records, calls the model server, commits the result.

`worker.py` is the entry. The model server is a function that is given. Must not know boto3, HTTP or how calls are made.
"""
