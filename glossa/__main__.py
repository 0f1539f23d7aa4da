"""Runs the command line: `python -m glossa`."""

from glossa.cli import main

raise SystemExit(main())
