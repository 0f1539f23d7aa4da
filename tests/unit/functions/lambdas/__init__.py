"""The lambdas folder."""
