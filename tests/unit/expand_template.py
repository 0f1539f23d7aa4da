"""Prints a template as JSON, as written and as SAM expands it with parameters. Runs with the interpreter of .venv-sam.

Intrinsic functions are printed in their long form.
"""

from __future__ import annotations

import json
import logging
import sys

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse


class NoManagedPolicies:
    """Answers the lookup of managed policies with nothing, because our template names every policy by its ARN."""

    def load(self) -> dict[str, str]:
        return {}


logging.disable(logging.WARNING)
with open(sys.argv[1], encoding="utf-8") as file:  # noqa: PTH123 - a short script outside the project's own environment
    text = file.read()
# The translator expects an address in S3 where the source names a folder. `sam package` usually writes it.
packaged = yaml_parse(text.replace("Uri: functions/", "Uri: s3://packages/functions"))
sys.stdout.write(
    json.dumps(
        {"source": yaml_parse(text), "expanded": transform(packaged, json.loads(sys.argv[2]), NoManagedPolicies())}
    )
)
