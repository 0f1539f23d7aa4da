"""Door that calls the webhooks of jobs that have ended."""
