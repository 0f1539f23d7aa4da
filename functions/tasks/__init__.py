"""The tasks folder."""
