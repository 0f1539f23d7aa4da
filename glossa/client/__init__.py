"""The client folder."""
