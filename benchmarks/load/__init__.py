"""Sends load to a server with wrk, and computes what queueing alone would cost.

The entry is `generator.send_load`. Must not know what the requests ask.
"""
