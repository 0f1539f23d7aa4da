"""The job machine: pure states, keys and records, and the two AWS doors store and objects."""
