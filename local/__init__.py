"""What makes make run work; nothing the product imports."""
