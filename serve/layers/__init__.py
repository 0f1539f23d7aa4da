"""The building blocks of packed encoders in torch: attention, linear layers, norms, embeddings, pooling and heads.

The public entry is `parts.ModelParts`, the set of makers that an encoder is built with. This folder must not know
kernels, model families, files or schedulers.
"""
