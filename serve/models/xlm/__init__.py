"""The xlm folder."""
