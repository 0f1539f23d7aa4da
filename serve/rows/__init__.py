"""Rows: the windows of text that an engine answers, and how they are packed for one forward pass.

The public entries are `row.split` and `row.join` (a call to rows and back), `row_validation.validate_rows`
and `pack.pack_rows`. This folder must not know weights, layers, kernels or who schedules the passes.
"""
