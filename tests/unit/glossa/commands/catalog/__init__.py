"""Tests of the commands that read and change the catalog."""
