"""Shows that each role of template.yaml has what it needs and nothing else, from the AWS calls of one recorded run.

`python -m tests.rights` records the calls again. Must not know the emulator's own way to decide about rights.
"""
