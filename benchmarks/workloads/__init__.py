"""Texts to measure on, committed, and the script that drew them."""
