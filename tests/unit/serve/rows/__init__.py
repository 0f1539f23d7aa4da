"""The rows folder."""
