"""Compares our answers with those of the reference and prints one table: `python -m benchmarks.parity`.

Each module is one check that yields lines of the table. A check knows no other check.
"""
