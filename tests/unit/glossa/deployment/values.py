"""Reads the templates of the repository once for the tests that ask for values of parameters. It checks nothing."""

from __future__ import annotations

import functools

from glossa.deployment.choices import Value, values_of
from glossa.deployment.environment import STACKS, Environment
from glossa.deployment.templates import Template, read_template
from tests.unit.template import ROOT


@functools.cache
def _templates() -> dict[str, Template]:
    return {stack: read_template(ROOT, stack) for stack in STACKS}


def values(environment: Environment) -> Value:
    """Return what finds the values of an environment's parameters."""
    return values_of(_templates(), environment)
