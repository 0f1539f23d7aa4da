"""The public data sets that the model learns from: their files, and how they are split. Must not know tokens."""
