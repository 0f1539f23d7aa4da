"""Door that cuts a document into shards."""
