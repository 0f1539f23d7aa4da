"""Labelled texts: reading them from files, and holding a part of them out. Must not know models or tensors."""
