"""The commands folder."""
