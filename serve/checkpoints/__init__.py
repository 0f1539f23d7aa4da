"""Model checkpoints on disk: fetching them, checking their digest, reading their tensors.

The public entries are `fetch.fetch`, `verify.check_weights`, `verify.check_config` and `read.read_tensors`. Files are
safetensors and JSON only: no pickle is loaded and no code is run. This folder must not know rows, layers or the
architecture of a family.
"""
