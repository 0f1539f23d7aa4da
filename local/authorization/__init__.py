"""Makes the emulator decide about rights as AWS does: it runs functions under their roles, and refuses what they lack.

`server.py` runs in the environment of the emulator, and is the only file that knows how the emulator decides. Must not
know Glossa or its template.
"""
