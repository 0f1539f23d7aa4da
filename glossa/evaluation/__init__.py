"""Measures a model on published data sets: reads their files, asks the model, and computes the official figures.

Stages are pure but for reading files and the function that asks the model. Must not know AWS, Ray or arguments of the
command line.
"""
