"""What the routes of the Open Inference Protocol v2 take and answer, for the OpenAPI document.

The model server reads and writes these bodies. Tests compare the types with what it takes. Must not answer requests.
"""

from typing import Annotated, Any, Literal

from aws_lambda_powertools.event_handler.openapi.params import Header
from pydantic import BaseModel, Field

from functions.http.openapi.examples import INFER
from functions.http.openapi.operation import ModelPath, Operation
from functions.http.openapi.problems import ProtocolError

BINARY = "application/octet-stream"
Shape = list[Annotated[int, Field(ge=0)]]
Datatype = Literal["INT32", "INT64", "FP32", "BOOL", "UINT8", "BYTES"]
Parameters = Annotated[
    dict[str, Any] | None, Field(description="of the protocol, and head, top_k and priority of ours")
]


class InputTensor(BaseModel):
    """A tensor of a request: numbers in row order, or bytes after the JSON by the binary extension."""

    name: str
    shape: Shape
    datatype: str
    data: list[Any] | None = None
    parameters: dict[str, Any] | None = None


class WantedOutput(BaseModel):
    """An output that the answer is to hold."""

    name: str
    parameters: dict[str, Any] | None = None


class InferenceRequest(BaseModel):
    """Tensors for a model. Metadata of the model says which it takes."""

    id: str | None = None
    parameters: Parameters = None
    inputs: list[InputTensor]
    outputs: list[WantedOutput] | None = None


class OutputTensor(BaseModel):
    """A tensor of an answer."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: dict[str, Any] | None = None


class InferenceAnswer(BaseModel):
    """Tensors of a model, with the seconds of each stage in `parameters`."""

    id: str | None = None
    model_name: str
    model_version: str
    parameters: dict[str, Any]
    outputs: list[OutputTensor]


class Server(BaseModel):
    """The model server."""

    name: str
    version: str
    extensions: list[str]


class Live(BaseModel):
    """The model server is live."""

    live: Literal[True]


class Ready(BaseModel):
    """Every model is ready."""

    ready: Literal[True]


class ModelReady(BaseModel):
    """The model is ready."""

    name: str
    version: str
    ready: Literal[True]


class IndexEntry(BaseModel):
    """A model of the repository."""

    name: str
    version: str
    state: str
    reason: str


class MetadataTensor(BaseModel):
    """A tensor that a model takes or answers; -1 stands for any size."""

    name: str
    datatype: str
    shape: list[int]
    optional: bool | None = None


class Metadata(BaseModel):
    """Inputs, outputs, heads and limits of a model."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[MetadataTensor]
    outputs: list[MetadataTensor]
    revision: str
    fingerprint: str
    default_head: str
    heads: dict[str, dict[str, Any]]
    limits: dict[str, int | None]
    kernels: dict[str, Any] | None = None  # what computes the layers in the replica that answers


class ConfigTensor(BaseModel):
    """A tensor that a model takes or answers, by Triton's names; -1 stands for any size."""

    name: str
    data_type: str
    dims: list[int]
    optional: bool | None = None


class Config(BaseModel):
    """The configuration of a model, as Triton writes it."""

    name: str
    platform: str
    backend: str
    version_policy: dict[str, Any]
    max_batch_size: int
    input: list[ConfigTensor]
    output: list[ConfigTensor]
    parameters: dict[str, dict[str, str]]


class Statistics(BaseModel):
    """Counts and times of a model."""

    model_stats: list[dict[str, Any]]


_LENGTH = {
    "inference_header_content_length": Annotated[
        str | None,
        Header(
            alias="Inference-Header-Content-Length", pattern="^[0-9]{0,9}$", description="bytes of JSON before tensors"
        ),
    ]
}


_NAMED = {"model": ModelPath}


def _get(path: str, summary: str, answer: Any) -> Operation:
    return Operation("GET", path, summary, None, answer, error=ProtocolError, refusals=(400,), path_parameters=_NAMED)


def _refused(verb: str) -> Operation:
    """Return an operation of the repository that is never done."""
    path, says = f"/v2/repository/models/<model>/{verb}", "Refused: the catalog says which models are served"
    return Operation(
        "POST", path, says, None, error=ProtocolError, refusals=(403, 404), path_parameters=_NAMED, checks_query=False
    )


def _of_a_model(path: str) -> tuple[Operation, ...]:
    return (
        _get(path, "Inputs, outputs, heads and limits of a model", Metadata),
        _get(f"{path}/ready", "Whether a model is ready", ModelReady),
        _get(f"{path}/config", "The configuration of a model, as Triton writes it", Config),
        _get(f"{path}/stats", "Statistics of a model", Statistics),
        Operation(
            "POST",
            f"{path}/infer",
            "Tensors to tensors, as JSON or with binary data",
            InferenceRequest,
            InferenceAnswer,
            error=ProtocolError,
            query=_LENGTH,
            refusals=(409,),
            body_types=(BINARY,),
            answer_types=(BINARY,),
            examples=INFER if "version" not in path else {},
            path_parameters=_NAMED,
        ),
    )


OPERATIONS = (
    _get("/v2", "The model server, in the Open Inference Protocol v2 as all routes below", Server),
    _get("/v2/health/live", "Whether the model server is live", Live),
    _get("/v2/health/ready", "Whether every model is ready", Ready),
    Operation(
        "POST",
        "/v2/repository/index",
        "Models with their states",
        None,
        list[IndexEntry],
        error=ProtocolError,
        refusals=(400, 413),
    ),
    _get("/v2/models/stats", "Statistics of all models", Statistics),
    *(_refused(verb) for verb in ("load", "unload")),
    *_of_a_model("/v2/models/<model>"),
    *_of_a_model("/v2/models/<model>/versions/<version>"),
)
