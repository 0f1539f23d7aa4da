"""Text to windows of token ids with offsets."""
