"""Door that writes the manifest, last."""
