"""A deterministic simulator of a batch job: the five functions over stores in memory, and all that can go wrong."""
