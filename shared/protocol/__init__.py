"""Encodes and decodes the Open Inference Protocol v2 with binary tensors, between the Lambdas and the model server.

The public entry is the list of names below: calls, outputs and errors, each to bytes and back. `requests` and `padded`
hold requests, `responses` and `classification` hold answers and errors, `tensors` and `frame` hold the bytes of the
protocol, and `head_outputs` lists what each head answers. This folder must not know how a model computes, nor any HTTP
library.
"""

from shared.protocol.frame import HEADER_LENGTH, Body
from shared.protocol.requests import (
    TIMEOUT_HEADER,
    CallLimits,
    DecodedCall,
    RequestedOutput,
    ResponseForm,
    decode_call,
    encode_call,
)
from shared.protocol.responses import decode_error, decode_output, encode_error, encode_output

__all__ = [
    "HEADER_LENGTH",
    "TIMEOUT_HEADER",
    "Body",
    "CallLimits",
    "DecodedCall",
    "RequestedOutput",
    "ResponseForm",
    "decode_call",
    "decode_error",
    "decode_output",
    "encode_call",
    "encode_error",
    "encode_output",
]
