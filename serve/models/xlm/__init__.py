"""The family XLM: its encoder and its heads.

The public entry is `encoder`, which offers everything that `serve.models.family.Family` names. This folder must not
know other families, engines or schedulers.
"""
