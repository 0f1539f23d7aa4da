"""The table of rooms: which part of the tree may import which.

It says in code what the table of the design says in words. `ROOMS` has one row for each part; a module belongs to the
row with the longest name that fits. Must not know how imports are found.
"""

from __future__ import annotations

from dataclasses import dataclass

HEAVY = ("torch", "ray", "transformers", "numpy")
AWS = ("boto3", "botocore")
SERVE_ORDER = ("checkpoints", "rows", "layers", "kernels", "models", "engine", "scheduling", "http")
NETWORK = (
    "socket",
    "ssl",
    "http",
    "socketserver",
    "urllib.request",
    "ftplib",
    "smtplib",
    "urllib3",
    "requests",
    "httpx",
    "httpx2",
)


@dataclass(frozen=True)
class Room:
    """One row of the table.

    `ours` are modules of the repository that the room may import besides itself, `libraries` modules from outside
    besides the standard library; None allows all. `never` must not be reached by any chain of imports.
    """

    name: str
    ours: tuple[str, ...] | None = ()
    libraries: tuple[str, ...] | None = ()
    never: tuple[str, ...] = ()


def _light(name: str, ours: tuple[str, ...], libraries: tuple[str, ...] = (), never: tuple[str, ...] = AWS) -> Room:
    """Return a row of the Lambda side, which never reaches a heavy library or the model side."""
    return Room(name, ours, libraries, (*never, *HEAVY, "serve", "glossa", "local", "tests", "benchmarks"))


def _serve(name: str, ours: tuple[str, ...], libraries: tuple[str, ...] = ()) -> Room:
    """Return a row of the model side, which knows neither Ray nor the Lambda side."""
    return Room(f"serve.{name}", ("shared", *ours), libraries, ("ray", "functions", "glossa", "local", "tests"))


SERVE_LIBRARIES = {
    "checkpoints": ("torch", "safetensors", "huggingface_hub", *AWS),
    "rows": ("torch", "numpy"),
    "layers": ("torch",),
    "kernels": ("torch",),
    "models": ("torch", "transformers", "pydantic"),
    "engine": ("torch", "numpy", "torchao", "bitsandbytes"),
    "scheduling": ("torch",),
    "http": ("starlette",),
}
RAY_FILES = ("app", "application_states", "cluster", "replica", "ray_metrics", "local_cluster", "rolling_update")
PLAIN_SHARED = (
    "shared.content_types",
    "shared.error_text",
    "shared.errors",
    "shared.head_hints",
    "shared.limits",
    "shared.messages",
    "shared.metrics",
    "shared.strict_json",
)
READING = ("functions.messages", "functions.json_objects")
PIPELINE = (*READING, "functions.pipeline", "functions.tasks", "functions.tokenizers")
STATE = ("functions.jobs.state", "functions.jobs.records")
JOBS = (*STATE, "functions.jobs.storage", *PIPELINE, "shared")

ROOMS = (
    _light("shared", ("shared.settings", "shared.catalog"), never=(*AWS, "functions")),
    _light("shared.settings", ("shared.error_text", "shared.errors"), ("pydantic",), never=(*AWS, "functions")),
    _light("shared.catalog", (*PLAIN_SHARED, "shared.log"), ("pydantic",), never=(*AWS, "functions")),
    _light("shared.metrics_page", ("shared.metrics",), never=(*AWS, "functions")),
    _light("shared.log", ("shared.metrics",), never=(*AWS, "functions")),
    _light("shared.call_keys", (*PLAIN_SHARED, "shared.call_token", "shared.log"), never=(*AWS, "functions")),
    _light("shared.protocol", (*PLAIN_SHARED, "shared.catalog"), never=(*AWS, "functions")),
    _light("functions", ()),
    _light("functions.json_objects", ("shared",), ("pydantic",)),
    _light("functions.messages", ("shared",)),
    _light("functions.tokenizers", ("shared",), ("tokenizers", "sacremoses", "pydantic")),
    _light(
        "functions.tasks",
        ("shared", "functions.tokenizers", *READING),
        ("pydantic", "pydantic_core", "typing_extensions"),
    ),
    _light(
        "functions.pipeline",
        ("shared", "functions.tokenizers", *READING, "functions.tasks"),
        never=(*AWS, "functions.lambdas", "functions.http", "functions.replica", "functions.jobs", "urllib3"),
    ),
    _light("functions.replica", ("shared",), ("urllib3",)),
    _light(
        "functions.http",
        ("shared", *PIPELINE, "functions.jobs.api", "functions.jobs.state"),
        ("aws_lambda_powertools", "pydantic"),
        never=(*AWS, "functions.lambdas"),
    ),
    _light(
        "functions.authorizer",
        ("shared", "functions.http.authentication", "functions.tasks.registry"),
        ("jwt", "urllib3", "pydantic", *AWS),
        never=("functions.lambdas", "functions.pipeline", "functions.replica", "functions.jobs"),
    ),
    _light("functions.jobs", ()),
    _light("functions.jobs.state", ("shared", "functions.jobs.records")),
    _light("functions.jobs.records", ("shared",)),
    _light(
        "functions.jobs.storage",
        ("shared", *STATE),
        AWS,
        never=("functions.pipeline", "functions.tasks", "functions.jobs.steps", "functions.jobs.api"),
    ),
    _light("functions.jobs.steps", JOBS, never=(*AWS, "functions.http", "functions.lambdas", "functions.jobs.api")),
    _light("functions.jobs.steps.work", (*JOBS, "functions.jobs.steps", "functions.replica.failures")),
    _light("functions.jobs.api", (*JOBS, "functions.jobs.steps"), ("pydantic",)),
    _light(
        "functions.lambdas",
        ("functions", "shared"),
        ("aws_lambda_powertools", "pydantic", "snapshot_restore_py", *AWS),
        never=(),
    ),
    Room("serve", (), (), (*AWS, *HEAVY, "functions")),
    *(
        _serve(folder, tuple(f"serve.{name}" for name in SERVE_ORDER[:place]), SERVE_LIBRARIES[folder])
        for place, folder in enumerate(SERVE_ORDER)
    ),
    _serve("application_changes", ()),
    _serve("deployment_options", ()),
    _serve("ingress", ()),
    _serve("own_heads", ()),
    _serve("private_folder", ()),
    _serve("strict_config", (), ("pydantic", "yaml")),
    Room("serve.manifests", ("shared", "serve.deployment_options"), ("yaml",), (*HEAVY, "functions", "local")),
    *(
        Room(f"serve.{name}", ("shared", "serve"), ("ray", "torch", "starlette", "pydantic"), ("functions",))
        for name in RAY_FILES
    ),
    Room("glossa", ("glossa.cli", "glossa.commands"), (), ("tests", "benchmarks")),
    Room("glossa.cli", ("glossa", "shared"), None, ("tests", "benchmarks")),
    # botocore signs requests with the caller's credentials; anyio is what httpx2 is built on
    Room("glossa.client", (), ("httpx2", "anyio", "botocore")),
    Room("glossa.cost", (), ("pydantic",), ("functions", "serve", "local", "tests", "benchmarks")),
    Room(
        "glossa.deployment",
        ("shared", "glossa.client", "glossa.tokenizer_build", "serve.manifests.pods", "serve.checkpoints.folders"),
        ("boto3", "botocore", "pydantic", "tomlkit", "yaml"),
        ("functions.lambdas", "local", "ray", "tests", "benchmarks"),
    ),
    Room(
        "glossa.evaluation",
        ("shared", "functions.messages", "functions.pipeline", "functions.tasks"),
        ("torch", "rich", "pydantic"),
        ("ray", *AWS, "serve", "local", "tests", "benchmarks"),
    ),
    Room(
        "glossa.proxy",
        ("glossa.client.errors", "glossa.client.address", "glossa.client.signing"),
        ("httpx2", "uvicorn", "botocore"),
        ("shared", "functions", "serve", "local", "click", *HEAVY),
    ),
    Room(
        "glossa.commands.remote",
        ("glossa.client", "glossa.proxy"),
        ("click", "rich", "httpx2"),
        ("shared", "functions", "serve", "local", *HEAVY),
    ),
    Room("glossa.commands", ("glossa", "shared", "functions", "serve", "local"), None, ("tests", "benchmarks")),
    Room(
        "glossa.tokenizer_build",
        ("shared", "functions.tokenizers", "serve.checkpoints", "serve.kernels"),
        ("regex", "tokenizers", "transformers"),
        ("ray", "local", "tests", "benchmarks"),
    ),
    Room(
        "glossa.checkpoint_conversion",
        ("shared", "serve.checkpoints"),
        ("torch", "safetensors"),
        ("ray", "functions", "local", "tests", "benchmarks"),
    ),
    Room(
        "glossa.head_training",
        (
            "shared",
            "functions",
            "serve",
            "glossa.tokenizer_build",
            "glossa.evaluation.metrics",
            "glossa.head_training.data",
        ),
        ("torch", "transformers", "safetensors"),
        ("ray", "local", "functions.lambdas", "functions.http", "functions.jobs", "tests", "benchmarks"),
    ),
    Room(
        "glossa.head_training.data",
        (),
        (),
        ("ray", "torch", "functions", "serve", "shared", "local", "tests", "benchmarks"),
    ),
    Room("glossa.reference", ("shared", "serve"), ("torch", "transformers"), ("ray", "local", "tests", "benchmarks")),
    Room("local.documentation", (), (), ("shared", "functions", "serve", "glossa")),
    Room("local", ("shared", "functions", "serve", "glossa"), None, ("tests", "benchmarks")),
    Room("checkpoints", ("shared", "glossa.evaluation.metrics"), None),
    Room("benchmarks", None, None),
    Room("tests", None, None),
)
