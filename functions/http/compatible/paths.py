"""The paths of other ecosystems, each with its one method.

Must not know how a path is answered.
"""

from __future__ import annotations

from collections.abc import Iterator

# TEI has these at the root, for the model that answers by default, and below /tei for a named one.
TEI_PREFIXES = ("", "/tei/<model>")
TEI_POSTS = ("embed", "embed_all", "embed_sparse", "similarity", "predict", "rerank", "tokenize", "decode")
ABOUT_A_MODEL = ("info", "health")  # below /hf as well, where clients of Hugging Face look for them
OTHERS = (
    ("POST", "/v1/embeddings"),
    ("POST", "/v1/completions"),
    ("POST", "/v1/embed"),
    ("POST", "/v2/embed"),
    ("POST", "/v2/rerank"),
    ("POST", "/hf/<model>"),
    ("POST", "/hf/<model>/<task>"),
    ("POST", "/hf/<model>/v1/completions"),
    ("GET", "/metrics"),
)


def compatible_routes() -> Iterator[tuple[str, str]]:
    """Yield method and path of each route."""
    yield from OTHERS
    for prefix in TEI_PREFIXES:
        yield from (("POST", f"{prefix}/{name}") for name in TEI_POSTS)
    for prefix in (*TEI_PREFIXES, "/hf/<model>"):
        yield from (("GET", f"{prefix}/{name}") for name in ABOUT_A_MODEL)
