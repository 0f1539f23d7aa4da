"""Measures how fast Glossa is, how much memory it takes, and how near its answers are to the reference's.

`python -m benchmarks` runs everything; each module in this folder is one benchmark that also runs alone. Its parts lie
in the folders below. `RESULTS.md` has the results. The product never imports this package.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]  # of the checkout
