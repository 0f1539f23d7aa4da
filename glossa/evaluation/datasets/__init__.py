"""The data sets that can be evaluated: their files, how those are read, their metrics, sources and licences.

Must not know models, or how a metric is computed.
"""
