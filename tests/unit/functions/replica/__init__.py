"""Tests of the replica client, with a fake transport and over real HTTP on loopback."""
