"""The Lambda side: doors and pure desks; no torch, no ray, no transformers, no numpy."""
