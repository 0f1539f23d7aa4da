"""Makes the Kubernetes manifest of the Ray cluster from the applications of a catalog. All of it is pure.

`serve.cluster` is the command that writes the file. Must not know how applications are built, run or answer.
"""
