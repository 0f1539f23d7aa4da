"""Door of the jobs API."""
