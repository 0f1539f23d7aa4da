"""The models folder."""
