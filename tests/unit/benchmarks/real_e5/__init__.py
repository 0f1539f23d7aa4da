"""Tests of what the real multilingual-e5-small is made with."""
