"""Batch jobs through real processes that are killed: an emulator, a model server over HTTP."""
