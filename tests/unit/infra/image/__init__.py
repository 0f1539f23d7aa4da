"""Tests of the image of the model server, by the text of its files. They must not need a container engine."""
