"""Figures of merit by their official definitions, in percent, as pure functions over gold answers and predictions.

Each is compared with a public implementation in a test. Must not know models, files or data sets.
"""
