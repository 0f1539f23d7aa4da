"""The http folder."""
