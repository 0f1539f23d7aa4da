"""Open Inference Protocol v2 with binary tensors <-> InferCall and Inferred; the only encoder.

`calls` and `padded` read and write requests, `answers` responses and errors; `tensors` and
`frame` know the protocol's bytes. Must not know what a model does, nor any HTTP library.
"""

from shared.wire.answers import decode_error, decode_inferred, encode_error, encode_inferred
from shared.wire.calls import TIMEOUT, Asked, Form, Limits, decode_call, encode_call
from shared.wire.frame import HEADER_LENGTH, Body
from shared.wire.limits import MAX_LAYERS, MAX_NEW_TOKENS, MAX_SEQUENCES, MAX_TARGETS, MAX_TOP_K

__all__ = [
    "HEADER_LENGTH",
    "MAX_LAYERS",
    "MAX_NEW_TOKENS",
    "MAX_SEQUENCES",
    "MAX_TARGETS",
    "MAX_TOP_K",
    "TIMEOUT",
    "Asked",
    "Body",
    "Form",
    "Limits",
    "decode_call",
    "decode_error",
    "decode_inferred",
    "encode_call",
    "encode_error",
    "encode_inferred",
]
