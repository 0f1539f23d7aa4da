"""Says what would give a model a head that it lacks, as a command. Must not know the catalog or who asks."""

from __future__ import annotations

from collections.abc import Mapping

# Heads that `glossa head train` makes of labels.
TRAINED_HERE = ("text-classification", "token-classification", "zero-shot-classification", "rerank")
# Heads that are trained with their whole model, elsewhere: a class of transformers that has one.
CLASSES: Mapping[str, str] = {
    "question-answering": "XLMRobertaForQuestionAnswering",
    "multiple-choice": "XLMRobertaForMultipleChoice",
    "fill-mask": "XLMRobertaForMaskedLM",
    "text-generation": "XLMRobertaForCausalLM",
}
VECTORS = ("feature-extraction", "sentence-similarity")  # every checkpoint has them
ADD = "glossa catalog add"


def way_to_head(task: str, model: str, checkpoint: str) -> str:
    """Return what adds a head for `task` to `model`, whose folder is `checkpoint`, or serves one beside it."""
    if task in TRAINED_HERE:
        return f"add one: glossa head train --model {model} --task {task} --data FILE --name NAME"
    if task in VECTORS:
        return f"serve its vectors: {ADD} {checkpoint} --name NAME --head embed"
    of_class = f", of a class such as {CLASSES[task]}" if task in CLASSES else ""
    return f"add a checkpoint that has one{of_class}: {ADD} FOLDER --name NAME"
