"""The cpu folder."""
