"""What both sides agree on, as tests."""
