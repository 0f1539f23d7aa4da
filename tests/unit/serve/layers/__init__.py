"""The layers folder."""
