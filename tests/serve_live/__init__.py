"""Against a real Ray Serve on loopback."""
