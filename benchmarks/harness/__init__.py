"""Starts the systems that are measured and asks them: one after the other, or side by side.

`side_by_side` compares engines, `servers` starts servers, `runtime_api` stands in for the Lambda service.
Must not know what a benchmark concludes.
"""
