"""Door of the synchronous path."""
