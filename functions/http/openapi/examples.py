"""Bodies that are answered as they stand, by any catalog whose models do the task. A test sends each.

The model server's own route alone names a model and a head: those that ship. Must not know how a body is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Examples = Mapping[str, Any]
RAIN = "After three days of rain, the river Rhine has risen in Basel."
_RISES = ["The river rises after the rain.", "Das Wasser steigt.", "川の水位が上がっている。"]

TASK_BODIES: Mapping[str, Examples] = {
    "feature-extraction": {
        "one vector a text": {"inputs": _RISES, "parameters": {"normalize": True}},
        "a vector for each token": {"inputs": "Das Wasser steigt.", "parameters": {"per_token": True}},
    },
    "fill-mask": {"the likeliest words": {"inputs": "The river <mask> after the rain.", "parameters": {"top_k": 3}}},
    "multiple-choice": {
        "two choices": {"inputs": {"prompt": "The river rises because", "choices": ["it has rained.", "it is dry."]}}
    },
    "question-answering": {
        "a question": {"inputs": {"question": "What has risen?", "context": RAIN}, "parameters": {"top_k": 2}}
    },
    "rerank": {
        "across languages": {
            "inputs": {"query": "high water", "documents": ["A cat sleeps.", *_RISES]},
            "parameters": {"top_n": 2, "return_documents": True},
        },
        "as clients of Cohere and Jina send it": {"query": "high water", "documents": ["A cat sleeps.", *_RISES]},
    },
    "sentence-similarity": {
        "a sentence and others": {
            "inputs": {"source_sentence": _RISES[0], "sentences": ["A cat sleeps.", "L'eau monte après la pluie."]}
        }
    },
    "text-classification": {
        "several languages": {
            "inputs": ["The team won the cup.", "Der Minister ist zurückgetreten.", "العلماء يدرسون المناخ."]
        },
        "every label": {"inputs": "The team won the cup.", "parameters": {"top_k": None}},
    },
    "text-generation": {"a prompt": {"inputs": "The river", "parameters": {"max_new_tokens": 8}}},
    "token-classification": {
        "entities": {"inputs": ["Marie Curie worked in Paris.", "Angela Merkel wurde in Hamburg geboren."]},
        "every token": {"inputs": "Marie Curie", "parameters": {"aggregation_strategy": "none", "ignore_labels": []}},
    },
    "zero-shot-classification": {
        "labels of your own": {"inputs": RAIN, "parameters": {"candidate_labels": ["weather", "sports", "politics"]}}
    },
}
TOKENIZE: Examples = {"texts and a pair": {"inputs": ["Das Wasser steigt.", {"text": "a", "text_pair": "b"}]}}
DETOKENIZE: Examples = {"two lists": {"ids": [[0, 100, 2], [200, 300]], "skip_special_tokens": True}}
INFER: Examples = {
    "a packed row": {
        "inputs": [
            {"name": "input_ids", "shape": [4], "datatype": "INT32", "data": [0, 100, 200, 2]},
            {"name": "row_lengths", "shape": [1], "datatype": "INT32", "data": [4]},
        ],
        "parameters": {"head": "topic"},
    }
}

JOB: Examples = {
    "files to upload": {"task": "text-classification", "files": ["reviews.jsonl"], "parameters": {"top_k": 2}},
    "what is there already": {"task": "text-classification", "prefix": "2026/", "output": "csv"},
}
RECIPE: Examples = {"every object of an inbox": {"name": "reviews", "task": "text-classification"}}

EMBEDDINGS: Examples = {
    "texts": {"input": _RISES, "encoding_format": "float"},
    "one text in base64": {"input": "Das Wasser steigt.", "encoding_format": "base64"},
}
COMPLETIONS: Examples = {"a prompt": {"prompt": "The river", "max_tokens": 8, "temperature": 0}}
COHERE_EMBED: Examples = {
    "two types": {"texts": _RISES, "input_type": "search_document", "embedding_types": ["float", "int8"]}
}
COHERE_RERANK: Examples = {"documents": {"query": "high water", "documents": ["A cat sleeps.", *_RISES], "top_n": 2}}
HUGGING_FACE: Examples = {"a text": {"inputs": "The team won the cup."}}
TEI: Mapping[str, Examples] = {
    "embed": {"texts": {"inputs": _RISES}},
    "embed_all": {"a text": {"inputs": "Das Wasser steigt."}},
    "similarity": {"a sentence": {"inputs": {"source_sentence": _RISES[0], "sentences": ["A cat sleeps."]}}},
    "predict": {"texts": {"inputs": [["The team won the cup."], ["Der Minister ist zurückgetreten."]]}},
    "rerank": {"texts": {"query": "high water", "texts": _RISES, "return_text": True}},
    "tokenize": {"a text": {"inputs": "Das Wasser steigt."}},
    "decode": {"ids": {"ids": [0, 100, 2]}},
}
