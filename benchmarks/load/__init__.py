"""Sends load to a server with wrk, and simulates what queueing, routing and autoscaling alone would cost.

The entry is `generator.send_load`. Must not know what the requests ask.
"""
