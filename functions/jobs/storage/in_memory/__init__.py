"""The contracts of storage in memory: one module each for table, objects, queue and event bus.

Tests, simulations and jobs within one process use them. They pass the same tests as the adapters to AWS. Must not
import boto3.
"""
