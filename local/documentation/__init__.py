"""Makes a site of the pages: `make site`.

Its entry is `python -m local.documentation`. The pages stay as GitHub shows them. Must not know what the pages say, nor
the rest of the repository.
"""
