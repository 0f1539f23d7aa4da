"""The api folder."""
