"""All suites."""
