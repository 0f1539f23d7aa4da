"""The pure desks."""
