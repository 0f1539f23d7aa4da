"""Makes `checkpoints/mini`: corpus, tokenizer, batches, model, schedule, export.

Only `train.py`, `evaluate.py` and `sharpen.py` beside this folder import it. The product never does.
"""
