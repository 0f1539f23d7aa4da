"""Makes what every system is given: texts as token ids, checkpoints, tokenizers and catalogs of real size.

Must not know which systems are measured.
"""
