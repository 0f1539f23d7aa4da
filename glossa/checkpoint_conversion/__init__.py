"""Makes a checkpoint that can be served of one that cannot: of pickles, or of a LoRA adapter and its base.

The public entries are `convert.convert` and `merge.merge`. Both write a new folder and leave the old one as it is. Only
`unpickle`, which runs in a process of its own, opens a pickle. This folder must not know the catalog or engines.
"""
