"""The storage folder."""
