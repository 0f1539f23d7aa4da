"""Code that the assemblers of several tasks share: rows of outputs, scores, entities, answer spans, graphemes.

Assemblers import its files directly. Must not know any one task.
"""
