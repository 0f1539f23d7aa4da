"""What the batch side knows of a job: its states, items and keys, the allowed moves, and the writes that make them.

Pure. `state_machine.py` is the entry: it lists the states of jobs and shards and the moves between them. The steps read
items, ask for a write here, and let a table carry it out. Must not know a store, a step or HTTP.
"""
