"""Door that mends what crashed."""
