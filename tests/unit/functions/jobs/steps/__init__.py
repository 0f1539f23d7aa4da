"""The steps folder."""
