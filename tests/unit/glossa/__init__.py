"""Tests of the command line, the Python client and the build of tokenizers."""
