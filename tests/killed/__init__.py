"""Batch jobs in real processes that are killed, with an emulator of AWS and a model server over HTTP."""
