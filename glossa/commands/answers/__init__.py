"""The commands that answer texts in this process: how lines are read, asked, and written.

They follow the rules of the folder above. Must not know the local stack, AWS or Ray.
"""
