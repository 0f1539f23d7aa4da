"""The scheduling folder."""
