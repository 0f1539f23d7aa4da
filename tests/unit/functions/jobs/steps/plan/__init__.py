"""The plan folder."""
