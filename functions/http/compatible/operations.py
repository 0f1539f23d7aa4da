"""What the routes of other ecosystems take and answer, for the OpenAPI page.

Must not answer requests.
"""

from functions.http.compatible import openai
from functions.http.openapi import Operation

OPERATIONS = (
    Operation("POST", "/v1/embeddings", "OpenAI: vectors of texts", openai.EmbeddingsBody),
    Operation("POST", "/v1/completions", "OpenAI: continuations of prompts", openai.CompletionsBody),
)
