"""Trains a head over a model of the catalog: reads labels, computes features, fits, judges, and writes a checkpoint.

`glossa.commands.head` is its face. Must not know Ray, AWS or HTTP.
"""
