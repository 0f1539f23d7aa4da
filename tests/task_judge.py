"""Compares answers of whole tasks with transformers' pipelines: same checkpoint, same texts, same parameters.

Our answers come from the whole pipeline and the real engine. Labels, words and offsets must be equal, and numbers
must agree within `BOUND` in float32.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import save_file

from functions.http.text_json import parse_request
from functions.messages import Result
from functions.pipeline.pipeline import Pipeline
from functions.tokenizers.load import load_tokenizer
from serve.checkpoints.read import read_tensors, tensor_shapes
from serve.engine.load_engine import load_engine
from serve.engine.run_call import infer
from shared.catalog import Catalog
from shared.messages import InferCall, ModelOutput
from tests.checkpoints import catalog_model, draw, write
from tests.data import N_PIECES, TOKENIZER_FILES, XLMR_TOKENIZER
from tests.task_cases import CASES, Case

ROOT = Path(__file__).parents[1]
MINI = ROOT / "checkpoints" / "mini"
BOUND = 1e-4
SOURCES = ("random", "mini")
RunRequest = Callable[[Mapping[str, object]], Result]


@dataclass
class Difference:
    """The difference of two answers: what is not equal, and the largest distance of numbers.

    `delta` is absolute up to 1 and relative above. `relative` is relative to the reference's number.
    """

    n_values: int = 0
    delta: float = 0.0
    relative: float = 0.0
    strange: list[str] = field(default_factory=list)

    def compare(self, ours: Any, theirs: Any, where: str) -> None:
        """Compare two answers, and add what differs. `where` names their place."""
        if isinstance(theirs, Mapping) and isinstance(ours, Mapping) and list(ours) == list(theirs):
            for name in theirs:
                self.compare(ours[name], theirs[name], f"{where}.{name}")
        elif isinstance(theirs, list | tuple) and isinstance(ours, list | tuple) and len(ours) == len(theirs):
            for at, (mine, their) in enumerate(zip(ours, theirs, strict=True)):
                self.compare(mine, their, f"{where}[{at}]")
        elif hasattr(theirs, "__float__") and not isinstance(theirs, int) and isinstance(ours, float):
            self._compare_numbers(ours, float(theirs))
        elif ours == theirs and not isinstance(theirs, Mapping | list | tuple):
            self.n_values += 1
        else:
            self.strange.append(f"{where}: got {str(ours)[:120]!a}, the reference says {str(theirs)[:120]!a}")

    def _compare_numbers(self, ours: float, theirs: float) -> None:
        self.n_values += 1
        distance, size = abs(ours - theirs), abs(theirs)
        self.delta = max(self.delta, distance / max(1.0, size))
        self.relative = max(self.relative, distance / max(1e-9, size))


@dataclass(frozen=True)
class TaskVerdict:
    """One row of the table: a task on one checkpoint."""

    task: str
    source: str
    n_answers: int
    difference: Difference

    @property
    def ok(self) -> bool:
        """Whether everything else is equal, and numbers are within the bound."""
        return not self.difference.strange and self.difference.delta <= BOUND and self.difference.n_values > 0


def trial(name: str, source: str, folder: Path, step: int = 1) -> TaskVerdict:
    """Compare one case of `task_cases.CASES` on a random or the mini checkpoint, written into `folder`.

    Only every `step`-th sentence is used. Raises an error of ours if an answer is one.
    """
    case = CASES[name]
    checkpoint(case, source, folder)
    network = getattr(transformers, case.kind).from_pretrained(folder, dtype="float32").eval()
    reader = transformers.AutoTokenizer.from_pretrained(folder)
    make_pipeline: Any = transformers.pipeline  # overloads for every task
    pipe = make_pipeline(case.task, model=network, tokenizer=reader, device="cpu")
    answer = request_runner(folder, case.task)
    difference, n_answers = Difference(), 0
    for question in case.questions(sentences()[::step], pipe):
        ours = answer({"inputs": list(question.inputs), "parameters": dict(question.parameters)}).values
        n_answers += len(question.theirs)
        difference.compare(list(ours), list(question.theirs), f"{dict(question.parameters)}")
    return TaskVerdict(name, source, n_answers, difference)


def all_trials() -> list[tuple[str, str]]:
    """Return case and source of every row of the table."""
    return [(name, source) for name, case in CASES.items() for source in SOURCES if source != "mini" or case.mini_head]


def request_runner(folder: Path, task: str) -> RunRequest:
    """Return a function that answers requests for a task with a checkpoint folder: pipeline and engine, in float32."""
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    facts = {"tokenizer_sha256": tokenizer.fingerprint, "mask_id": tokenizer.id_of("<mask>"), "mask_token": "<mask>"}
    model = catalog_model(folder, name="compared", tokens_per_s=1e9, **facts)
    engine = load_engine(model, folder.parent)
    pipeline = Pipeline(Catalog(default_model="compared", models={"compared": model}), {"compared": tokenizer})

    def infer_calls(calls: Sequence[InferCall]) -> list[ModelOutput]:
        return [infer(engine, call) for call in calls]

    return lambda body: pipeline.run(parse_request(task, body), infer_calls)


def checkpoint(case: Case, source: str, folder: Path) -> None:
    """Write the case's checkpoint as users have it: one head, float32, with its tokenizer."""
    folder.mkdir(parents=True)
    if source == "mini":
        _plain_mini(case, folder)
    else:
        settings = {"vocab_size": N_PIECES, "type_vocab_size": 1, "bos_token_id": 0, "eos_token_id": 2, **case.config}
        if "id2label" in settings:
            settings["label2id"] = {label: index for index, label in settings["id2label"].items()}
        write(draw(case.kind, **settings), folder)
    tokenizer = MINI if source == "mini" else XLMR_TOKENIZER
    for path in (tokenizer / name for name in TOKENIZER_FILES):
        if path.exists():  # special_tokens_map.json is of older folders
            shutil.copy(path, folder)


def _plain_mini(case: Case, folder: Path) -> None:
    """Write one head of mini with the tensor names of its class."""
    heads = transformers.AutoConfig.from_pretrained(MINI)
    labels: Sequence[str] = case.mini_labels(MINI)
    if labels:
        heads.id2label = dict(enumerate(labels))
        heads.label2id = {label: index for index, label in enumerate(labels)}
    heads.architectures, heads.dtype = [case.kind], "float32"
    heads.save_pretrained(folder)
    own = f"heads.{case.mini_head}."
    read = ("roberta.", "lm_head.") if case.mini_head == "lm_head" else ("roberta.", own)
    names = [name for name in tensor_shapes(MINI) if name.startswith(read)]
    tensors = {
        name.replace(own, "classifier."): tensor for name, tensor in read_tensors(MINI, names, torch.float32).items()
    }
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


@cache
def sentences() -> tuple[str, ...]:
    """Return the Universal Declaration of Human Rights' first article in more than fifty languages."""
    path = ROOT / "tests" / "unit" / "functions" / "tokenizers" / "sentences.tsv"
    with path.open(encoding="utf-8", newline="") as lines:
        return tuple(row[1] for row in csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
