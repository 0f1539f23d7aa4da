"""Tests of heads that are trained on labels: head."""
