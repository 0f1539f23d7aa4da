"""Open Inference Protocol v2 with binary tensors <-> InferCall and Inferred; the only encoder.

`calls` and `padded` read and write requests, `answers` responses and errors; `tensors` and
`frame` know the protocol's bytes. Must not know what a model does, nor any HTTP library.
"""

from shared.protocol.frame import HEADER_LENGTH, Body
from shared.protocol.requests import TIMEOUT, CallLimits, DecodedCall, Form, decode_call, encode_call
from shared.protocol.responses import decode_error, decode_output, encode_error, encode_output

__all__ = [
    "HEADER_LENGTH",
    "TIMEOUT",
    "Body",
    "CallLimits",
    "DecodedCall",
    "Form",
    "decode_call",
    "decode_error",
    "decode_output",
    "encode_call",
    "encode_error",
    "encode_output",
]
