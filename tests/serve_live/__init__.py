"""Tests against a real Ray Serve on loopback."""
