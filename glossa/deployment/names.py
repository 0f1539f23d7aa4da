"""The names that steps and programs share: what the cluster calls its resources, and Python.

`serve.manifests` writes the same names into the RayService; a test compares them. Pure. Must not know steps.
"""

from __future__ import annotations

PYTHON = ".venv/bin/python"
IMAGE_PLATFORM = "linux/amd64"  # of every image: no machine of the templates and manifests is of another kind

NAMESPACE = "glossa"
APP_LABEL = {"app.kubernetes.io/name": "glossa"}
RAY_SERVICE = "glossa"
INGRESS = "glossa"
CATALOG_FILE = "catalog.toml"  # the key of the ConfigMap whose name has the digest of the catalog
CALL_KEYS, CALL_KEYS_FILE = "glossa-call-keys", "keys.json"  # the Secret and its key
REDIS, REDIS_FIELD = "glossa-redis", "password"  # likewise
