"""Fits heads: to vectors of a frozen backbone, or together with its last layers. Must not know files or texts."""
