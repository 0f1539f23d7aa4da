"""What answers each route of other ecosystems, by its path. A path has one method.

Must not know how a route is answered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from functions.http.compatible import answers_cohere, answers_hugging_face, answers_openai, answers_tei
from functions.http.compatible.paths import ABOUT_A_MODEL, TEI_POSTS, TEI_PREFIXES

ANSWERS: Mapping[str, Callable[..., object]] = {
    "/v1/embeddings": answers_openai.embeddings,
    "/v1/completions": answers_openai.completions,
    "/v1/embed": answers_cohere.embed_1,
    "/v2/embed": answers_cohere.embed_2,
    "/v2/rerank": answers_cohere.rerank_2,
    "/hf/<model>": answers_hugging_face.infer,
    "/hf/<model>/<task>": answers_hugging_face.infer_task,
    "/hf/<model>/v1/completions": answers_openai.completions_of_model,
    "/metrics": answers_tei.metrics,
    **{f"{prefix}/{name}": getattr(answers_tei, name) for prefix in TEI_PREFIXES for name in TEI_POSTS},
    **{
        f"{prefix}/{name}": getattr(answers_tei, name)
        for prefix in (*TEI_PREFIXES, "/hf/<model>")
        for name in ABOUT_A_MODEL
    },
}
