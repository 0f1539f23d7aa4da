"""Lists every task with its parameters. To add a task, add its file and one line here.

Must not know how a task is done.
"""

from collections.abc import Mapping

from functions.tasks.schemas import (
    feature_extraction,
    fill_mask,
    multiple_choice,
    question_answering,
    rerank,
    sentence_similarity,
    text_classification,
    text_generation,
    token_classification,
    zero_shot_classification,
)
from functions.tasks.task import TaskParameters

SCHEMAS: Mapping[str, type[TaskParameters]] = {
    "feature-extraction": feature_extraction.Parameters,
    "fill-mask": fill_mask.Parameters,
    "multiple-choice": multiple_choice.Parameters,
    "question-answering": question_answering.Parameters,
    "rerank": rerank.Parameters,
    "sentence-similarity": sentence_similarity.Parameters,
    "text-classification": text_classification.Parameters,
    "text-generation": text_generation.Parameters,
    "token-classification": token_classification.Parameters,
    "zero-shot-classification": zero_shot_classification.Parameters,
}

TASKS: tuple[str, ...] = tuple(SCHEMAS)
