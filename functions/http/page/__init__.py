"""The playground at `/` and the API reference at `/docs`: static files, and the headers that confine them.

`add_page_routes` of `routes` puts them on the resolver of the infer function. Must not know tasks, models or callers.
"""
