"""Prints, keeps and draws what the benchmarks measured, with the machine they ran on.

The entry is `report.finish`. Must not know what was measured.
"""
