"""A proxy on this machine that signs requests to one API with the caller's AWS credentials (SigV4).

It is for clients that can send `Authorization: Bearer` and nothing else, in front of a stack with `Auth=iam`. `app.py`
is its way from a request to the answer, `guard.py` says who is let in. Must not know tasks or other commands.
"""
