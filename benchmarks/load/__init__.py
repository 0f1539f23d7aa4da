"""Sends load to a server with wrk, and computes what queueing alone would cost.

The entry is `generator.drive`. Must not know what the requests ask.
"""
