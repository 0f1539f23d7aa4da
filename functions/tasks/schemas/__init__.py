"""The schemas folder."""
