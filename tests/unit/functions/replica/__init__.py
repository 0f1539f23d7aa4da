"""The replica folder."""
