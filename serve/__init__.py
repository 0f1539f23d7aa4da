"""The model side: Ray Serve replicas that hold the models and answer calls of tokens.

The entry is `python -m serve.app`, or `serve.app:model_application` in the configuration of a cluster. The folders form
a chain, and each imports only folders before it: checkpoints, rows, layers, kernels, models, engine, scheduling, http.
The folder manifests is outside the chain. The files beside them wire the folders together and are the only ones that
import Ray.
Must not know texts, tokenizers, tasks or anything else of `functions`.
"""
