"""The protocol folder."""
