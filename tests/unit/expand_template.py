"""Runs in .venv-sam: prints template.yaml as JSON, as written (intrinsics in long form) and as SAM expands it."""

from __future__ import annotations

import json
import logging
import sys

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse


class NoManagedPolicies:
    """Every policy of ours is named by its ARN, so there is nothing to look up."""

    def load(self) -> dict[str, str]:
        return {}


logging.disable(logging.WARNING)
with open(sys.argv[1], encoding="utf-8") as file:  # noqa: PTH123 - this script is read without the project's habits
    text = file.read()
# `sam package` puts an address of S3 where the source names a folder
packaged = yaml_parse(text.replace("Uri: functions/", "Uri: s3://packages/functions"))
sys.stdout.write(json.dumps({"source": yaml_parse(text), "expanded": transform(packaged, {}, NoManagedPolicies())}))
