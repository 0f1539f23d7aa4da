"""Runs checkers of other people over templates, and compares what they find with what we have registered.

They must not know the product.
"""
