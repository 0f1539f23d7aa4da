"""Starts the systems that are measured, and sends them rows: one after the other, or side by side.

`side_by_side` compares engines, `servers` starts servers, `runtime_api` replaces the Lambda service.
Must not know what a benchmark concludes.
"""
