"""Readers of the files of data sets, as they were published: tables, CoNLL, SQuAD JSON, and aligned lines.

An ill-formed file is named by its line. Must not know models, metrics or which data set a file belongs to.
"""
