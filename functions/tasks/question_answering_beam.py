"""Makes answers of the candidates of XLM's question answering head with a beam.

The pipeline of transformers never read this head. The rule is that of its SQuAD evaluation
(`compute_predictions_log_probs` of data/metrics/squad_metrics.py, 4.57). Must not know how texts become tokens.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile

from functions.messages import TextInput, Window
from functions.tasks.postprocessing.answer_spans import AnswerSpan, add_answer, score_of, text_span
from functions.tasks.postprocessing.graphemes import Clusters
from functions.tasks.postprocessing.output_rows import Answer, AnswerContext, RowsPerWindow
from functions.tasks.postprocessing.scores import sigmoid, softmax
from functions.tasks.question_answering import Parameters
from functions.tasks.task import Assembler
from shared.errors import ReplicaError

N_BEST = 20  # answers in the softmax, as in the evaluation
NAMES = ("start_top_log_probs", "start_top_index", "end_top_log_probs", "end_top_index", "cls_logits")


def outputs(parameters: Parameters, target_ids: Sequence[int]) -> Mapping[str, RowsPerWindow]:
    """Name the tensors to read: the candidates of each window, named as in the reference."""
    del parameters, target_ids
    return dict.fromkeys(NAMES, 1)


def value(
    context: AnswerContext[Parameters], item: TextInput, windows: Sequence[Window], answers: Sequence[Answer]
) -> AnswerSpan | list[AnswerSpan]:
    """Return the best answer, or a list of the best when `top_k` is above 1 and there are several.

    The rank of a span is the sum of the probabilities of its two ends (the reference calls them log probs). Of spans
    with the same text, the first counts. A score is the softmax over the ranks of the 20 best. The score of no answer
    is the sigmoid of the least `cls_logits`: this logit is trained for it.

    Two things differ from the evaluation. It drops places beyond the length of the context, counted from the first
    token of the window, which fits models that read the context first. Here an answer must lie in the context. And
    answers that differ in case alone are one answer, with the sum of their scores, as for other heads.
    """
    parameters, text = context.parameters, item.text_pair or ""
    clusters = Clusters(text)
    spans = [
        (rank, text_span(window, clusters, first, last, whole_words=parameters.align_to_words))
        for index, (window, answer) in enumerate(zip(windows, answers, strict=True))
        for rank, first, last in _candidates(index, windows, answer, parameters.max_answer_len)
    ]
    first_of_text: dict[str, tuple[float, tuple[int, int]]] = {}
    for rank, span in sorted(spans, key=lambda found: -found[0]):
        first_of_text.setdefault(text[slice(*span)], (rank, span))
    best = list(first_of_text.items())[:N_BEST]
    scores = softmax([rank for _, (rank, _) in best]) if best else []
    found: dict[str, AnswerSpan] = {}
    for score, (_, (_, span)) in zip(scores, best, strict=True):
        add_answer(found, text, span, score)
    ranked = list(found.values())
    if parameters.handle_impossible_answer or not ranked:
        none = sigmoid([min(answer["cls_logits"][0][0] for answer in answers)])[0]
        ranked.append({"score": none, "start": 0, "end": 0, "answer": ""})
    ranked = sorted(ranked, key=score_of, reverse=True)[: parameters.top_k]
    return ranked[0] if len(ranked) == 1 else ranked


def _candidates(
    index: int, windows: Sequence[Window], answer: Answer, max_len: int
) -> Iterator[tuple[float, int, int]]:
    """Yield rank, first token and last token of the spans of a window that can be answers."""
    window = windows[index]
    starts, firsts, ends, lasts = ([*answer[name][0]] for name in NAMES[:4])
    n_end, left = divmod(len(ends), len(starts))
    if left or len(firsts) != len(starts) or len(lasts) != len(ends):
        raise ReplicaError(f"got {len(starts)} starts and {len(ends)} ends from the model server, expected a multiple")
    for i, j in ((i, j) for i in range(len(starts)) for j in range(n_end)):
        first, last = int(firsts[i]), int(lasts[i * n_end + j])  # paired as the evaluation pairs them
        if not (0 <= first <= last < len(window.sequence_ids) and last - first < max_len):
            continue
        if window.sequence_ids[first] == window.sequence_ids[last] == 1 and _is_central(index, windows, first):
            yield starts[i] + ends[i * n_end + j], first, last


def _is_central(index: int, windows: Sequence[Window], at: int) -> bool:
    """Whether no other window has more context around a token (`token_is_max_context`)."""
    token = windows[index].start + at - windows[index].sequence_ids.index(1)
    mine = _context_around(windows[index], token)
    before = takewhile(bool, (_context_around(window, token) for window in reversed(windows[:index])))
    after = takewhile(bool, (_context_around(window, token) for window in windows[index + 1 :]))
    return max(before, default=0.0) < mine and max(after, default=0.0) <= mine


def _context_around(window: Window, token: int) -> float:
    """Return how much context a window has on both sides of a token; 0 when the token is not in it."""
    n_tokens = window.sequence_ids.count(1)
    before, after = token - window.start, window.start + n_tokens - 1 - token
    return min(before, after) + 0.01 * n_tokens if before >= 0 and after >= 0 else 0.0


ASSEMBLER = Assembler(outputs, value)
