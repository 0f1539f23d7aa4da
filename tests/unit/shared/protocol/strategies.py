"""Strategies that draw calls and answers, and the limits that the calls keep to."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from shared.limits import DEFAULT_TOP_K
from shared.messages import POOLINGS, InferCall, ModelOutput, Sampling, Tensor
from shared.protocol import CallLimits

LIMITS = CallLimits(max_body_bytes=1 << 20, max_rows=64, max_tokens=1024, max_row_tokens=128, vocab_size=1000)
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

names = st.text(st.characters(categories=("Ll", "Lu", "Nd", "Lo")), max_size=40)
ids = st.integers(0, LIMITS.vocab_size - 1)
rows = st.lists(st.lists(ids, min_size=1, max_size=12), min_size=1, max_size=8)
seconds = st.floats(0, 1e6, allow_nan=False)


samplings = st.builds(
    Sampling,
    max_new_tokens=st.integers(1, 4096),
    do_sample=st.booleans(),
    temperature=st.floats(1e-3, 100),
    top_k=st.integers(0, 1000),
    top_p=st.floats(1e-3, 1),
    num_return_sequences=st.integers(1, 8),  # there are at most 8 rows, so all sequences are within max_rows
    seed=st.integers(0, 2**53),
)


@st.composite
def calls(draw: st.DrawFn) -> InferCall:
    """Draw any call within LIMITS, in packed form."""
    texts = draw(rows)
    sampling = draw(st.none() | samplings)
    n_tokens = sum(map(len, texts))
    with_positions = draw(st.booleans())
    chosen = [sorted(draw(st.sets(st.integers(0, len(text) - 1), max_size=3))) for text in texts]
    starts = [sum(map(len, texts[:row])) for row in range(len(texts))]
    flat = [start + place for start, places in zip(starts, chosen, strict=True) for place in places]
    return InferCall(
        model="mini",
        head=draw(names),
        input_ids=Tensor.ints(token for text in texts for token in text),
        row_lengths=Tensor.ints(map(len, texts)),
        positions=Tensor.ints(flat) if with_positions else None,
        positions_per_row=Tensor.ints(map(len, chosen)) if with_positions else None,
        lang_ids=draw(st.none() | st.just(Tensor.ints(range(n_tokens)))),
        token_type_ids=draw(st.none() | st.just(Tensor.ints([0] * n_tokens))),
        position_ids=draw(st.none() | st.just(Tensor.ints(range(n_tokens)))),
        pooling=draw(st.sampled_from(POOLINGS)),
        layers=tuple(draw(st.lists(st.integers(-9, 9), max_size=4))),
        attentions=draw(st.booleans()),
        sampling=sampling,
        top_k=draw(st.integers(1, 1000)) if sampling is None else DEFAULT_TOP_K,
        target_ids=tuple(draw(st.lists(ids, max_size=5))),
        per_token=draw(st.booleans()),
        normalize=draw(st.booleans()),
        priority=draw(st.sampled_from(["interactive", "batch"])),
        tenant_hash=draw(names),
        fingerprint=draw(names),
        timeout_s=draw(st.none() | st.floats(1e-3, 1e6)),
    )


@st.composite
def tensors(draw: st.DrawFn, *, finite: bool = False) -> Tensor:
    """Draw any INT32 or FP32 tensor of one to three dimensions, also empty ones, and with NaN unless `finite`."""
    shape = draw(st.lists(st.integers(0, 4), min_size=1, max_size=3))
    size = 1
    for dimension in shape:
        size *= dimension
    if draw(st.booleans()):
        return Tensor.ints(draw(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=size, max_size=size)), shape)
    floats = st.floats(width=32, allow_nan=not finite, allow_infinity=not finite)
    return Tensor.floats(draw(st.lists(floats, min_size=size, max_size=size)), shape)


def answers(*, finite: bool = False) -> st.SearchStrategy[ModelOutput]:
    """Draw any answer with up to four outputs and the seconds of its stages."""
    outputs = st.dictionaries(
        st.sampled_from(["logits", "top_ids", "vectors", "x"]), tensors(finite=finite), max_size=4
    )
    return st.builds(ModelOutput, outputs, st.dictionaries(st.sampled_from(["queue", "infer"]), seconds))
