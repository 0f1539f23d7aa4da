"""The in memory folder."""
