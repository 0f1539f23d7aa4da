"""The recipe behind `checkpoints/mini`: corpus, tokenizer, batches, model, schedule, export.

Imported only by `train.py` and `evaluate.py` beside this folder; nothing of the product imports it.
"""
