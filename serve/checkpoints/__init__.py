"""The checkpoints folder."""
