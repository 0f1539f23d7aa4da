"""Turns the bytes of an object into records, and answers into the rows of a part.

Pure. `records.py` is the entry for reading: it splits a stream into records and reads each one. `result_rows.py` is the
entry for writing. Must not know jobs, shards, keys, tasks or stores.
"""
