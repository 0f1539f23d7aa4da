"""Every task of every family through all parts that serve it: the infer function, HTTP, Ray Serve and the engine.

The function has a process of its own and gets API Gateway events. Each answer must be the same as that of `glossa run`
in this process, over the same checkpoints.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from functions.http.text_json import parse_request
from functions.pipeline.pipeline import Infer, Pipeline
from functions.tasks.registry import TASK_NAMES
from glossa.commands.answers.run import load
from glossa.tokenizer_build.checkpoints import tokenizer_of
from shared.catalog import Catalog, Model, load_catalog
from tests.families import BODIES, LONG, WHOLE
from tests.serve_live.conftest import Server
from tests.serve_live.infer_function import InferFunction
from tests.serve_live.sanity import is_sane
from tests.task_judge import Difference

pytestmark = pytest.mark.ray

BOUND = 1e-5
MAX_HEALTH_ATTEMPTS = 20
TEXT = "Alle Menschen sind frei."
PAIR = {"text": TEXT, "text_pair": "All human beings are free.", "lang": ["de", "en"]}
# For each task, a parameter out of its range, and what the refusal says to expect.
OUT_OF_RANGE: tuple[tuple[str, Mapping[str, Any], str], ...] = (
    ("text-classification", {"top_k": 0}, "greater than or equal to 1"),
    ("text-classification", {"function_to_apply": "tanh"}, "'none', 'sigmoid' or 'softmax'"),
    ("zero-shot-classification", {"hypothesis_template": "no place"}, "exactly one {}"),
    ("token-classification", {"aggregation_strategy": "last"}, "'simple', 'first'"),
    ("token-classification", {"stride": 999}, "stride of 999 tokens, expected less than"),
    ("question-answering", {"max_answer_len": 0}, "greater than or equal to 1"),
    ("question-answering", {"doc_stride": 999}, "stride of 999 tokens, expected less than"),
    ("multiple-choice", {"truncation": "yes"}, "true or false"),
    ("fill-mask", {"top_k": 1001}, "less than or equal to 1000"),
    ("text-generation", {"temperature": 0}, "greater than 0"),
    ("text-generation", {"top_p": 1.5}, "less than or equal to 1"),
    ("text-generation", {"max_new_tokens": 4000}, "expected less than the"),
    ("text-generation", {"num_return_sequences": 2}, "expected 1"),
    ("feature-extraction", {"layers": [99]}, "expected"),
    ("feature-extraction", {"pooling": "median"}, "'mean'"),
    ("sentence-similarity", {"pooling": "median"}, "'mean'"),
    ("rerank", {"top_n": 0}, "greater than or equal to 1"),
)


class InProcess:
    """The path of `glossa run` in this process: the pipeline around the engine, without Ray and HTTP."""

    def __init__(self, server: Server) -> None:
        self.root = server.path.parent
        self.catalog: Catalog = load_catalog(server.families)
        self.loaded: dict[str, tuple[Pipeline, Infer]] = {}

    def models_for(self, task: str) -> list[Model]:
        """Return the models that can do a task."""
        return [model for model in self.catalog.models.values() if task in model.tasks]

    def answer(self, task: str, body: Mapping[str, Any]) -> Any:
        """Return the results of a request, as JSON has them."""
        model = self.catalog.model(body["model"].partition(":")[0])
        if model.name not in self.loaded:
            pipeline = Pipeline(self.catalog, {model.name: tokenizer_of(model, self.root)})
            self.loaded[model.name] = pipeline, load(model, self.root)
        pipeline, infer = self.loaded[model.name]
        return json.loads(json.dumps(pipeline.run(parse_request(task, body), infer).values))


@pytest.fixture(scope="module")
def in_process(server: Server) -> InProcess:
    """Answer in this process what the server answers."""
    return InProcess(server)


@pytest.fixture(params=WHOLE)
def model(request: pytest.FixtureRequest, in_process: InProcess) -> Model:
    """Return each model in turn."""
    return in_process.catalog.model(request.param)


def _asked(model: Model, task: str, head: str = "", **changes: Any) -> dict[str, Any]:
    inputs, parameters = BODIES[task]
    reference = f"{model.name}:{head}" if head else model.name
    return {"inputs": inputs, "parameters": parameters, "model": reference, **changes}


def _agree(function: InferFunction, in_process: InProcess, task: str, body: Mapping[str, Any]) -> list[Any]:
    """Return the results of an answer. It must be 200 and the same as in process, with scores within the bound."""
    status, answer = function.post(task, body)
    assert status == 200, (task, answer)
    difference = Difference()
    difference.compare(answer["results"], in_process.answer(task, body), f"{body['model']} {task}")
    assert difference.strange == []
    assert difference.delta <= BOUND, (task, body["model"])
    assert len(answer["results"]) == len(body["inputs"]) == len(answer["usage"]["n_tokens"])
    results: list[Any] = answer["results"]
    return results


def _refused(function: InferFunction, task: str, body: Mapping[str, Any], said: Sequence[str]) -> None:
    """Ask for an answer. Check that it is a 422 whose message has all the words."""
    status, problem = function.post(task, body)
    assert (status, problem["code"]) == (422, "unprocessable"), (task, body, problem)
    assert [words for words in said if words not in problem["detail"]] == [], (task, problem["detail"])


def test_every_task_of_every_head_answers_as_in_one_process(
    model: Model, function: InferFunction, in_process: InProcess
) -> None:
    """Each head does each of its tasks: 200, a sane value for each input, and the same as without a server."""
    for name, head in model.heads.items():
        for task in head.tasks:
            body = _asked(model, task, name)
            results = _agree(function, in_process, task, body)
            for item, value in zip(body["inputs"], results, strict=True):
                assert is_sane(task, item, body["parameters"], head, value), (model.name, name, task, value)


def test_the_families_have_every_task_between_them(in_process: InProcess) -> None:
    """Together they have every task of the API and every variant of a head."""
    models = in_process.catalog.models
    assert list(models) == list(WHOLE)
    assert {task for model in models.values() for task in model.tasks} == set(TASK_NAMES)
    assert {head.variant for model in models.values() for head in model.heads.values()} == {"", "beam", "linear"}


def test_languages_reach_the_model(model: Model, function: InferFunction, in_process: InProcess) -> None:
    """A language of each side changes the answer of models that read languages. Other models refuse it by name."""
    body = _asked(model, "feature-extraction", inputs=[{"text": TEXT, "lang": "de"}], parameters={})
    pair = _asked(model, "text-classification", inputs=[PAIR], parameters={"position_reset": bool(model.lang2id)})
    if not model.lang2id:
        _refused(function, "feature-extraction", body, ["'de'", "reads no languages"])
        _refused(function, "text-classification", pair, ["'de'", "reads no languages"])
        return
    _agree(function, in_process, "text-classification", pair)
    found = _agree(function, in_process, "feature-extraction", body)
    assert found != _agree(
        function, in_process, "feature-extraction", body | {"inputs": [{"text": TEXT, "lang": "fr"}]}
    )
    _refused(
        function,
        "feature-extraction",
        body | {"inputs": [{"text": TEXT, "lang": "xx"}]},
        ["got 'xx'", "expected", "de"],
    )


def test_a_model_s_own_mask_is_a_mask(function: InferFunction, in_process: InProcess) -> None:
    """Beside `<mask>`, a masked language model reads the mask token that its checkpoint names."""
    for model in in_process.models_for("fill-mask"):
        usual, mask = _asked(model, "fill-mask"), str(model.mask_token)
        own = usual | {"inputs": [text.replace("<mask>", mask) for text in usual["inputs"]]}
        assert _agree(function, in_process, "fill-mask", own) == _agree(function, in_process, "fill-mask", usual)
    assert {model.mask_token for model in in_process.models_for("fill-mask")} == {"<mask>", "<special1>"}


def test_drawn_texts_are_drawn_from_their_seed(function: InferFunction, in_process: InProcess) -> None:
    """Sampled sequences are the same as the same seed gives in one process."""
    drawn = {"max_new_tokens": 8, "do_sample": True, "num_return_sequences": 3, "temperature": 3.0, "seed": 7}
    for model in in_process.models_for("text-generation"):
        [texts] = _agree(function, in_process, "text-generation", _asked(model, "text-generation", parameters=drawn))
        assert len({found["generated_text"] for found in texts}) > 1


def test_texts_are_tokenized_and_detokenized(model: Model, function: InferFunction) -> None:
    """Tokens have ids of the model and offsets in the text. Their ids detokenize to the text."""
    inputs = [TEXT, {"text": TEXT, "text_pair": "Wir."}]
    status, answer = function.post("tokenize", {"inputs": inputs, "model": model.name})
    assert status == 200, answer
    for tokens, (text, pair) in zip(answer["results"], ((TEXT, ""), (TEXT, "Wir.")), strict=True):
        assert {len(part) for name, part in tokens.items() if isinstance(part, list)} == {tokens["count"]}
        assert all(0 <= token < model.vocab_size for token in tokens["ids"])
        assert all(0 <= start <= end <= max(len(text), len(pair)) for start, end in tokens["offsets"])
        assert sum(tokens["special_tokens_mask"]) == {"": 2}.get(pair, 3 if model.family == "xlm" else 4)
    asked = {"ids": [tokens["ids"] for tokens in answer["results"]], "model": model.name, "skip_special_tokens": True}
    status, answer = function.post("detokenize", asked)
    expected = TEXT if model.family != "xlm" else TEXT.lower()
    assert (status, answer["results"][0]["text"].replace(" .", ".")) == (200, expected)


@pytest.mark.parametrize(("task", "changes", "expectation"), OUT_OF_RANGE)
def test_a_parameter_out_of_range_is_refused(
    function: InferFunction, in_process: InProcess, task: str, changes: Mapping[str, Any], expectation: str
) -> None:
    """It is a 422 that names the value and what is expected, whether the function or the model finds it."""
    [value] = (str(given).strip("[]") for given in changes.values())
    for model in in_process.models_for(task):
        _refused(function, task, _asked(model, task, parameters=BODIES[task][1] | changes), [value, expectation])


def test_a_task_without_a_head_is_refused(model: Model, function: InferFunction) -> None:
    """The refusal names the tasks that the model has, if it has not all, or those of the head that was asked."""
    for task in set(TASK_NAMES) - model.tasks:
        _refused(function, task, _asked(model, task), [f"model {model.name} has no head for {task}", *model.tasks])
    body = _asked(model, "text-classification", "embed")
    _refused(
        function,
        "text-classification",
        body,
        [f"{model.name}:embed does feature-extraction", "not text-classification"],
    )


@pytest.mark.parametrize(
    ("task", "changes", "said"),
    [
        ("fill-mask", {"inputs": ["All human beings are free."]}, ["inputs[0]", "mask", "expected"]),
        ("zero-shot-classification", {"parameters": {}}, ["candidate_labels"]),
        ("zero-shot-classification", {"parameters": {"candidate_labels": []}}, ["candidate_labels", "at least 1"]),
        ("question-answering", {"inputs": [{"question": "Who?", "context": ""}]}, ["context: got an empty text"]),
        ("question-answering", {"inputs": [{"question": "Who?"}]}, ['no "context"', "expected one"]),
        ("multiple-choice", {"inputs": [{"text": "a", "choices": []}]}, ["choices: got an empty list", "expected"]),
        ("feature-extraction", {"inputs": [LONG]}, ["attentions: got a text of several windows", "expected"]),
        ("multiple-choice", {"parameters": {"top_k": 1}}, ["unknown parameter 'top_k'", "parameters: truncation"]),
    ],
)
def test_what_a_task_cannot_read_is_refused(
    function: InferFunction, in_process: InProcess, task: str, changes: Mapping[str, Any], said: Sequence[str]
) -> None:
    """No mask, labels, context or choices, or attentions of several windows: 422 with what is expected."""
    for model in in_process.models_for(task):
        _refused(function, task, _asked(model, task, **changes), said)


@pytest.mark.parametrize(
    ("task", "item"), [("multiple-choice", {"text": LONG, "choices": ["a"]}), ("text-generation", LONG)]
)
def test_a_text_that_cannot_be_cut_is_too_large(
    function: InferFunction, in_process: InProcess, task: str, item: object
) -> None:
    """When a task allows no windows, a long text is a 413 that says how many tokens are allowed."""
    for model in in_process.models_for(task):
        status, problem = function.post(task, _asked(model, task, inputs=[item]))
        assert (status, problem["code"]) == (413, "too-large"), problem
        assert "inputs[0]: got" in problem["detail"]
        assert "expected at most" in problem["detail"]


def test_the_function_tells_what_it_serves(function: InferFunction, in_process: InProcess) -> None:
    """It is ready, and lists every model with its family, tasks and mask token."""
    healthy = (200, {"status": "ready"})  # the check has one second; a busy machine may need several attempts
    assert any(function.ask("GET", "/v1/health") == healthy for _ in range(MAX_HEALTH_ATTEMPTS))
    status, answer = function.ask("GET", "/v1/models")
    assert status == 200
    told = {model["name"]: (model["family"], set(model["tasks"]), model["mask_token"]) for model in answer["models"]}
    known = in_process.catalog.models.values()
    assert told == {model.name: (WHOLE[model.name][0], model.tasks, model.mask_token) for model in known}
