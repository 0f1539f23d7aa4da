"""The command line of Glossa, its Python client, and the build of tokenizers for the functions.

`python -m glossa` starts `glossa.cli`. `commands` holds one file for each command, `client` the Python client, and
`tokenizer_build` what turns a checkpoint's tokenizer into files that functions load. Must not know tests or benchmarks.
The wheel holds `client` and `commands/remote`.
"""

__version__ = "0.1.0"
