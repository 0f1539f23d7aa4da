"""A deterministic simulator of batch jobs: the true steps over stores in memory, and everything that can go wrong."""
