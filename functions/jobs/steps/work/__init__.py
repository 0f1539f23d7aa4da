"""Door that answers one shard."""
