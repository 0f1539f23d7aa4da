"""The packed engine: several heads in one pass, bad rows fail alone, catalog and checkpoint must agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedModel

from serve.checkpoints.read import CheckpointError
from serve.engine.engine import PackedEngine
from serve.engine.load_engine import load_engine
from serve.engine.parallel_passes import is_parallel_faster
from serve.engine.run_call import infer
from serve.kernels.cpu.library import variant_here
from serve.layers.heads import float32_logits
from serve.rows.row import row_of
from shared.errors import GlossaError, NotFinite, NotFound, TooLarge, Unprocessable
from shared.messages import InferCall, Tensor
from tests.checkpoints import LABELS, catalog_model, draw, draw_ids, write
from tests.faults import build_of
from tests.judge import CASES, judge

HEADS = {
    "topic": "XLMRobertaForSequenceClassification",
    "tone": "XLMRobertaForSequenceClassification",
    "entities": "XLMRobertaForTokenClassification",
    "mlm": "XLMRobertaForMaskedLM",
}


@pytest.fixture(scope="module")
def references() -> dict[str, PreTrainedModel]:
    """Draw a reference model for each head, all with the same backbone."""
    models = {name: draw(kind, seed=seed) for seed, (name, kind) in enumerate(HEADS.items())}
    backbone = models["topic"].roberta.state_dict()
    for model in models.values():
        model.roberta.load_state_dict(backbone)
    models["embed"] = draw("XLMRobertaModel")
    models["embed"].load_state_dict(backbone, strict=False)  # everything but the pooler
    return models


@pytest.fixture(scope="module")
def shared_backbone(references: dict[str, PreTrainedModel], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write one checkpoint with all the heads, as our own training does."""
    folder = tmp_path_factory.mktemp("shared")
    tensors = {k: v for k, v in references["mlm"].state_dict().items() if not k.startswith("lm_head.decoder")}
    for name in ("topic", "tone", "entities"):
        tensors |= {f"heads.{name}.{k}": v for k, v in references[name].classifier.state_dict().items()}
    save_file(tensors, folder / "model.safetensors")
    references["mlm"].config.save_pretrained(folder)
    tasks = {"topic": "text-classification", "tone": "text-classification", "entities": "token-classification"}
    listed = {name: {"task": task, "labels": list(LABELS)} for name, task in tasks.items()}
    (folder / "heads.json").write_text(json.dumps(listed))
    return folder


def test_heads_share_one_pass(references: dict[str, PreTrainedModel], shared_backbone: Path) -> None:
    """Rows of five heads in one packed pass each equal their own reference model."""
    engine = load_engine(catalog_model(shared_backbone), shared_backbone, device="cpu")
    rows = []
    for seed, name in enumerate(references):
        kind = type(references[name]).__name__
        asked = CASES[kind].rows(draw_ids((9, 40, 3, 9), seed=seed))
        rows += [(name, row_of(row.input_ids.tolist(), name, positions=row.positions)) for row in asked]
    rows = rows[::3] + rows[1::3] + rows[2::3]
    results = engine.forward([row for _, row in rows])
    for name, reference in references.items():
        own = [(row, result) for (head, row), result in zip(rows, results, strict=True) if head == name]
        verdict = judge(reference, [row for row, _ in own], [result for _, result in own], torch.float32)
        assert verdict.ok, (name, verdict)


@pytest.fixture(scope="module")
def engine(shared_backbone: Path) -> PackedEngine:
    """Load the checkpoint with many heads."""
    return load_engine(catalog_model(shared_backbone, token_budget=64), shared_backbone, device="cpu")


def test_one_bad_row_fails_alone(engine: PackedEngine) -> None:
    """Each bad row has its error in its place. The good rows answer as they do without it."""
    good = [row_of(ids, "topic") for ids in draw_ids((5, 8))]
    bad = [
        row_of([0, 500, 2], "topic"),
        row_of([0, 5], "mlm", positions=(2,)),
        row_of([0] * 513, "entities"),
        row_of([0, 5, 2], "nobody"),
    ]
    first, *failed, second = engine.forward([good[0], *bad, good[1]])
    assert [type(error) for error in failed] == [Unprocessable, Unprocessable, TooLarge, NotFound]
    for alone, result in zip(engine.forward(good), (first, second), strict=True):
        assert not isinstance(alone, GlossaError)
        assert not isinstance(result, GlossaError)
        torch.testing.assert_close(result["logits"], alone["logits"], rtol=1e-5, atol=1e-5)


def test_a_pass_of_bad_rows_alone_is_no_pass(engine: PackedEngine) -> None:
    """A pass with bad rows only is not an error, and no rows give no results."""
    assert [type(error) for error in engine.forward([row_of([], "topic")])] == [Unprocessable]
    assert engine.forward([]) == []


def test_an_overflowing_row_fails_alone(tmp_path: Path) -> None:
    """A row whose numbers are not finite gets an error that names the head. Its batch mates are answered."""
    reference = draw("XLMRobertaForTokenClassification")
    model = catalog_model(write(reference, tmp_path), dtype="float16")
    with torch.no_grad():  # such weights are refused when they are read from a file
        reference.roberta.embeddings.word_embeddings.weight[77] = float("inf")
    rows = [row_of([0, n, 2], "classifier") for n in (76, 77, 78)]
    before, error, after = build_of(reference, model, rows).engine().forward(rows)
    assert isinstance(error, NotFinite)
    assert not error.retryable  # a second try gives the same numbers
    assert "toy:classifier" in error.message
    assert "bfloat16" in str(error.hint)
    assert not isinstance(before, GlossaError)
    assert not isinstance(after, GlossaError)


def test_an_untied_decoder_is_used(tmp_path: Path) -> None:
    """If the decoder of a checkpoint differs from its embeddings, the decoder is used."""
    reference = draw("XLMRobertaForMaskedLM", tie_word_embeddings=False)
    rows = CASES["XLMRobertaForMaskedLM"].rows(draw_ids((5, 30)))
    loaded = load_engine(catalog_model(write(reference, tmp_path)), tmp_path, device="cpu")
    assert judge(reference, rows, loaded.forward(rows), torch.float32).ok


def test_infer_answers_a_call(engine: PackedEngine) -> None:
    """A call that takes several passes has the outputs of all rows, in order."""
    rows = draw_ids((30, 2, 31, 40, 9))
    flat, lengths = [i for row in rows for i in row], Tensor.ints(map(len, rows))
    outputs = infer(engine, InferCall("toy", "entities", Tensor.ints(flat), lengths))
    logits = outputs.outputs["logits"]
    assert (logits.datatype, logits.shape) == ("FP32", (112, len(LABELS)))
    expected = torch.cat([_logits(engine, ids) for ids in rows]).flatten()
    torch.testing.assert_close(torch.tensor(list(logits.float_values())), expected, rtol=1e-5, atol=1e-5)


def _logits(engine: PackedEngine, ids: list[int]) -> torch.Tensor:
    (result,) = engine.forward([row_of(ids, "entities")])
    assert not isinstance(result, GlossaError)
    return result["logits"]


def test_a_call_with_a_bad_row_fails_as_that_row(engine: PackedEngine) -> None:
    """A call is answered as a whole: one bad row fails it."""
    with pytest.raises(Unprocessable, match="row 1: got token id 500"):
        infer(engine, InferCall("toy", "topic", Tensor.ints([5, 500]), Tensor.ints([1, 1])))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"weights_sha256": "0" * 64}, "weights in .* the catalog expects 0000"),
        ({"config_sha256": "0" * 64}, r"config\.json and 1 files beside it in .* the catalog expects 0000"),
        ({"vocab_size": 499}, "the catalog says"),
        ({"pad_id": 0}, "the catalog says"),
        ({"max_tokens": 513}, "gives toy 513 tokens a row, the checkpoint takes at most 512"),
        ({"family": "xlm"}, "is of family xlm-roberta, not xlm"),
        ({"heads": {"x": {"task": "text-classification", "prefix": "heads.x"}}}, r"lacks 4 tensors: heads\.x\.dense"),
        (
            {"heads": {"t": {"task": "text-classification", "prefix": "heads.topic", "labels": ["a"]}}},
            r"heads\.topic\.out_proj\.bias has shape \(5,\), expected \(1,\)",
        ),
    ],
)
def test_catalog_and_checkpoint_agree_or_nothing_loads(
    fields: dict[str, Any], said: str, shared_backbone: Path
) -> None:
    """A catalog that differs from the checkpoint stops loading, with both values in the error."""
    with pytest.raises(CheckpointError, match=said):
        load_engine(catalog_model(shared_backbone, **fields), shared_backbone, device="cpu")


def test_the_largest_logits_are_taken_again_within_a_bound() -> None:
    """The rows of the decoder that are gathered at a time never exceed the limit, however many masks there are."""
    width, n_ids, n_places = 16, 8, 40
    drawn = torch.Generator().manual_seed(0)
    decoder = torch.nn.Linear(width, 64).bfloat16().requires_grad_(requires_grad=False)
    hidden = torch.randn(n_places, width, generator=drawn).bfloat16()
    ids = torch.randint(64, (n_places, n_ids), generator=drawn)
    gathered: list[int] = []

    class Watch(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            made = func(*args, **(kwargs or {}))
            if isinstance(made, torch.Tensor) and made.dim() == 3 and made.shape[1:] == (n_ids, width):
                gathered.append(made.shape[0])
            return made

    expected = (decoder.weight.float() @ hidden.float().T).T.gather(1, ids) + decoder.bias.float()[ids]
    for block_bytes, most in ((3 * n_ids * width * 4, 3), (1, 1), (2**20, n_places)):
        gathered.clear()
        with Watch():
            found = float32_logits(decoder, hidden, ids, block_bytes)
        assert max(gathered) == most
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.skipif(variant_here() is None, reason="torch's own products are used on this processor")
def test_masked_words_in_bfloat16_are_scored_by_the_kernel(shared_backbone: Path) -> None:
    """No torch operator computes or sums the scores of a vocabulary."""
    model = catalog_model(shared_backbone, dtype="bfloat16")
    engine = load_engine(model, shared_backbone, device="cpu")
    asked: list[str] = []

    class Watch(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            made = func(*args, **(kwargs or {}))
            if isinstance(made, torch.Tensor) and model.vocab_size in made.shape:
                asked.append(func.__name__)
            return made

    with Watch():
        (found,) = engine.forward([row_of([0, 5, 6, 2], "mlm", positions=(1,), top_k=3)])
    assert not isinstance(found, GlossaError)
    assert (
        {"empty"} <= set(asked) <= {"empty", "contiguous", "float"}
    )  # the last two do nothing to tensors that are already so


def test_two_parallel_passes_answer_as_one(shared_backbone: Path) -> None:
    """A call that is divided into two parallel passes gives each row what one pass gives it."""
    model = catalog_model(shared_backbone)
    ids = draw_ids([30, 9, 30, 23, 30, 30, 12, 29, 30, 24, 30, 27])
    rows = [row_of(row, "entities") for row in ids]
    flat, lengths = Tensor.ints(token for row in ids for token in row), Tensor.ints(map(len, ids))
    alone = load_engine(model, shared_backbone, device="cpu")
    torch.set_num_threads(2)
    try:
        divided = load_engine(model, shared_backbone, device="cpu")
        assert (alone.n_parallel, divided.n_parallel) == (1, 2)
        assert is_parallel_faster(sum(map(len, ids)), 30, 2)
        found = infer(divided, InferCall(model.name, "entities", flat, lengths))
    finally:
        torch.set_num_threads(1)
    expected = torch.cat([row["logits"] for row in alone.forward(rows) if not isinstance(row, GlossaError)])
    logits = torch.tensor(found.outputs["logits"].float_values().tolist()).view_as(expected)
    torch.testing.assert_close(logits, expected, rtol=0, atol=2e-5)
