"""The records folder."""
