"""Tests of `glossa evaluate`. Must not know real data sets: all texts are made up."""
