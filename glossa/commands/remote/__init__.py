"""Commands that call an API by HTTP.

They need the Python client and a terminal, and nothing else of this checkout, so the wheel has them. Must not know
`shared`, `functions`, `serve` or `local`.
"""
