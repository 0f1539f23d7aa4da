"""Measures what a trained head is worth, and shows it. Must not know how it was trained."""
