"""Brings Glossa into an AWS account, and out of it again: what is missing, the plan, its steps, and where it stopped.

A plan is data: each step is a list of command lines. One runner executes them, another prints them. Must not know
models, tasks or requests.
"""
