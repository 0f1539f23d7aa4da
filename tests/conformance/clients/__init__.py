"""One script for each client: its calls, and what each should return.

They run in the environment of the clients, with an address and a key. Must not know how a route is made.
"""
