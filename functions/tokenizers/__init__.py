"""Text to token ids with offsets, as the reference tokenizers read it.

`load` is the entry. Must not know windows, tasks or AWS.
"""
