"""What Glossa costs, on paper: prices with their sources, the arithmetic, and the tables of docs/cost.md.

Every price and rate is an input. Must not know AWS, models or tasks: it multiplies numbers.
"""
