"""Every task of every family answers through the API: catalog, desks, client, wire and engine in one process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from functions.edge import Resolver
from functions.infer.api import make_api
from functions.pipeline.journey import Journey
from functions.pipeline.schemas import TASKS
from functions.pipeline.tokenize import load_tokenizers
from functions.replica_client import ReplicaClient
from functions.replica_fake import FakeTransport, Sent
from functions.replica_transport import Reply
from glossa.artifacts import write_artifacts
from glossa.catalog_add import Wish, add
from serve.engine import Engine, infer, load_engine
from shared.catalog import Catalog, load_catalog
from shared.errors import GlossaError
from shared.wire import Limits, decode_call, encode_error, encode_inferred
from tests import checkpoints, checkpoints_xlm
from tests.unit.functions.infer.world import post
from tests.unit.functions.pipeline import tiny, tiny_xlm

NLI = {"id2label": {0: "contradiction", 1: "neutral", 2: "entailment"}}
ONE = {"id2label": {0: "good"}}
CLASSES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("ForSequenceClassification", NLI),
    ("ForSequenceClassification", ONE),
    ("ForTokenClassification", {}),
    ("ForQuestionAnswering", {}),
    ("ForMultipleChoice", {}),
    ("ForMaskedLM", {}),
    ("ForCausalLM", {}),
    ("Model", {}),
)
XLM_CLASSES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("XLMForSequenceClassification", NLI),
    ("XLMForSequenceClassification", {"num_labels": 1}),
    ("XLMForTokenClassification", {}),
    ("XLMForQuestionAnsweringSimple", {}),
    ("XLMForQuestionAnswering", {}),
    ("XLMForMultipleChoice", {}),
    ("XLMWithLMHeadModel", {}),
)
BODIES: dict[str, tuple[Any, dict[str, Any]]] = {
    "text-classification": (["Alle Menschen", {"text": "a", "text_pair": "b"}], {"top_k": None}),
    "zero-shot-classification": (["Alle Menschen"], {"candidate_labels": ["Recht", "Sport"]}),
    "token-classification": (["Anna lives in Turku. " * 60], {"aggregation_strategy": "first"}),
    "question-answering": ([{"question": "Who?", "context": "Anna lives in Turku. " * 60}], {"top_k": 2}),
    "multiple-choice": ([{"text": "It rains, so", "choices": ["I swim", "I read", "I sleep"]}], {}),
    "fill-mask": (["All <mask> beings are <mask>."], {"top_k": 3}),
    "text-generation": (["All human"], {"max_new_tokens": 3}),
    "feature-extraction": (["All human beings"], {"pooling": "max", "layers": [0, -1], "attentions": True}),
    "sentence-similarity": ([{"source_sentence": "a", "sentences": ["a", "b c"]}], {"pooling": "cls"}),
    "rerank": ([{"query": "who", "documents": ["Anna", "nobody"]}], {"return_documents": True}),
}
Served = tuple[Catalog, Resolver]


def _write_roberta(prefix: str, root: Path) -> None:
    """Write one checkpoint for each class; the tokenizer is learnt once."""
    learnt = root / "tokenizer"
    learnt.mkdir()
    tiny.write_tokenizer(learnt)
    for at, (kind, settings) in enumerate(CLASSES):
        folder = root / f"{at}-{kind.lower()}"
        folder.mkdir()
        for name in ("tokenizer.json", "tokenizer_config.json"):
            (folder / name).write_bytes((learnt / name).read_bytes())
        sizes = {"vocab_size": 1300, "max_position_embeddings": 66, "type_vocab_size": 1}
        checkpoints.write(checkpoints.draw(prefix + kind, bos_token_id=0, eos_token_id=2, **sizes, **settings), folder)


def _write_xlm(root: Path) -> None:
    for at, (kind, settings) in enumerate(XLM_CLASSES):
        folder = root / f"{at}-{kind.lower()}"
        folder.mkdir()
        tiny_xlm.write_tokenizer(folder)
        langs = {lang: i for i, lang in enumerate(tiny_xlm.LANGS)}
        sizes = {"vocab_size": 1300, "max_position_embeddings": 64, "n_langs": len(langs), "lang2id": langs}
        network = checkpoints_xlm.draw(kind, **sizes, **settings)
        network.save_pretrained(folder)


def _served(root: Path) -> Served:
    """Add every folder to a catalog, and serve it as the model server does, without its scheduler."""
    path = root / "catalog.toml"
    for folder in sorted(root.glob("[0-9]-*")):
        add(path, str(folder), Wish(folder.name, tokens_per_s=1e6))
    catalog = load_catalog(path)
    write_artifacts(catalog, root, root / "artifacts")
    engines = {name: load_engine(model, root) for name, model in catalog.models.items()}
    journey = Journey(catalog, load_tokenizers(catalog, root / "artifacts"))
    client = ReplicaClient("http://127.0.0.1:9", transport=FakeTransport(_replica(engines, catalog)))
    return catalog, make_api(journey, client, "none")


def _replica(engines: dict[str, Any], catalog: Catalog) -> Callable[[Sent], Reply]:
    def respond(sent: Sent) -> Reply:
        name = sent.path.split("/")[3]
        model = catalog.model(name)
        limits = Limits(4 * 2**20, 1024, 16_384, model.max_tokens, model.vocab_size)
        engine: Engine = engines[name]
        try:
            asked = decode_call(name, sent.headers, sent.data, limits)
            body = encode_inferred(asked, name, "1", infer(engine, asked.call))
        except GlossaError as error:
            refusal = encode_error(error)
            return Reply(error.status, refusal.headers, refusal.data)
        return Reply(200, body.headers, body.data)

    return respond


@pytest.fixture(scope="module", params=["xlm-roberta", "xlm-roberta-xl", "xlm"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Served:
    """Serve one family: a tiny checkpoint of every class."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp(request.param)
    if request.param == "xlm":
        _write_xlm(root)
    else:
        _write_roberta("XLMRoberta" if request.param == "xlm-roberta" else "XLMRobertaXL", root)
    return _served(root)


def test_every_task_of_every_head_answers(served: Served) -> None:
    """Each head of each model is asked each of its tasks, and says something to every input."""
    catalog, api = served
    asked = set()
    for name, model in catalog.models.items():
        for head, facts in model.heads.items():
            for task in facts.tasks:
                inputs, parameters = BODIES[task]
                body = {"inputs": inputs, "parameters": parameters, "model": f"{name}:{head}"}
                status, answer, _ = post(api, task, body)
                assert status == 200, (name, head, task, answer)
                assert len(answer["results"]) == len(inputs)
                asked.add(task)
    assert asked == set(TASKS)


def test_an_input_says_its_language(served: Served) -> None:
    """A language goes to models that read languages; of others it is refused by name."""
    catalog, api = served
    name = next(iter(catalog.models))
    body = {"inputs": [{"text": "Alle Menschen", "lang": "de"}], "model": name}
    status, answer, _ = post(api, "text-classification", body)
    reads = bool(catalog.model(name).lang2id)
    assert status == (200 if reads else 422)
    assert reads or "reads no languages" in answer["detail"]
