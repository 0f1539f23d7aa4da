"""Answers rows with the classes of `transformers`, to compare the engine with.

It reads the same checkpoint folder. Must not know the engine or commands.
"""
