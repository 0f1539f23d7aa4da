"""Open Inference Protocol v2 with binary tensors <-> InferCall and Inferred; the only encoder."""
