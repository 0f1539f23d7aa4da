"""The programs that the steps of a deployment run, one file each: what no tool on the machine does by itself.

Each takes what it needs as arguments. Must not know plans or environments.
"""
