"""The commands of `python -m glossa`, one file for each.

`glossa.cli` loads the file of the command that was typed, and no other. A command's file holds its options and calls
the code that does the work. Heavy libraries (torch, ray, boto3) and `local` are imported inside functions, when they
are needed. Must not know tests and benchmarks.
"""
