"""Lists every task. To add a task, add its file and one line here.

Must not know how a task is done, nor how callers name one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from functions.tasks import (
    feature_extraction,
    feature_extraction_sparse,
    fill_mask,
    multiple_choice,
    question_answering,
    question_answering_beam,
    rerank,
    sentence_similarity,
    text_classification,
    text_generation,
    token_classification,
    zero_shot_classification,
)
from functions.tasks.task import Task

_ALL: tuple[Task[Any], ...] = (
    replace(feature_extraction.TASK, head_variants={"sparse": feature_extraction_sparse.ASSEMBLER}),
    fill_mask.TASK,
    multiple_choice.TASK,
    replace(question_answering.TASK, head_variants={"beam": question_answering_beam.ASSEMBLER}),
    rerank.TASK,
    sentence_similarity.TASK,
    text_classification.TASK,
    text_generation.TASK,
    token_classification.TASK,
    zero_shot_classification.TASK,
)
TASKS: Mapping[str, Task[Any]] = {task.name: task for task in _ALL}
TASK_NAMES: tuple[str, ...] = tuple(TASKS)
