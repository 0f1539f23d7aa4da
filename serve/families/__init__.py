"""Packed encoders over the reference weights, one file per family."""
