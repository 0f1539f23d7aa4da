"""Tests of what lays the pages out for their site."""
