"""Tests of the pages: their commands run, and their figures are those of the code."""
