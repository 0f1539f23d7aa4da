"""Answers recorded from libraries that the environment no longer has, and the tests that compare with them."""
