"""Tests of the Open Inference Protocol, with recorded bodies of other clients in `golden`."""
