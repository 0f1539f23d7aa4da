"""Tests of heads that are trained on labels: judging."""
