"""Equality with the reference, as one table: `python -m benchmarks.parity`.

One room for each question; each yields lines of the table and knows no other room.
"""
