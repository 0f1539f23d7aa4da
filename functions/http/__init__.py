"""HTTP side of the API functions: bodies in, answers and problem details out, routes, the OpenAPI page.

`make_api` of `text_routes` and `make_api` of `jobs_routes` build the two APIs. Must not know AWS clients or the
environment; effects are handed in.
"""
