"""Answers recorded from libraries that the environment no longer has, and what replays them."""
