"""Stores items, objects, messages and events: the only part of the batch side that speaks to AWS.

`contracts.py` says what every store does. The adapters hold boto3 calls and nothing else; `in_memory/` has the same
contracts without AWS. `aws.py` is the entry: it makes the adapters from plain names. Must not know steps or the API.
"""
