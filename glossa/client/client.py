"""The Python client: one class for threads and one for event loops, with the same methods.

Must not know the command line.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Self

from glossa.client import answering, routes, tasks, vectors
from glossa.client.address import FORM, is_address, shown_address
from glossa.client.errors import InvalidRequest
from glossa.client.flows import Api
from glossa.client.jobs.jobs import AsyncJobs, Jobs
from glossa.client.retries import Retries
from glossa.client.runners import TIMEOUT_S, AsyncHttp, AsyncRunner, Http, Method, Runner

if TYPE_CHECKING:
    import httpx2


class ApiMethods:
    """What both clients do. Each call is a function of `tasks.py`, `vectors.py` or `routes.py`, with its parameters."""

    text_classification = Method(tasks.text_classification)
    zero_shot_classification = Method(tasks.zero_shot_classification)
    token_classification = Method(tasks.token_classification)
    question_answering = Method(tasks.question_answering)
    multiple_choice = Method(tasks.multiple_choice)
    fill_mask = Method(tasks.fill_mask)
    text_generation = Method(tasks.text_generation)
    feature_extraction = Method(vectors.feature_extraction)
    token_vectors = Method(vectors.token_vectors)
    sparse_vectors = Method(vectors.sparse_vectors)
    sentence_similarity = Method(vectors.sentence_similarity)
    rerank = Method(vectors.rerank)
    run_task = Method(answering.run_task)
    tokenize = Method(routes.tokenize)
    detokenize = Method(routes.detokenize)
    models = Method(routes.models)
    ready = Method(routes.ready)
    call = Method(routes.call)


class Client(ApiMethods, Runner[Api]):
    """Calls the API at `base_url`, which includes the stage. Its methods raise ApiError.

    `base_url` is GLOSSA_API_URL and `api_key` is GLOSSA_API_KEY, where they are not given. The key, or a JWT in its
    place, is sent as a Bearer token, to the API alone and never in the clear. Without one, requests to API Gateway on
    AWS are signed with the caller's own credentials; `region` signs those to an address of your own as well.
    `timeout_s` bounds each wait for bytes. `http_client` may be an httpx2.Client with proxies or certificates of yours.
    One client may be used by many threads.

        with Client("https://abc123.execute-api.eu-central-1.amazonaws.com/live", api_key="glossa_...") as client:
            print(client.text_classification("The team won the match.").only[0].label)
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        api_key: str | None = None,
        region: str | None = None,
        timeout_s: float = TIMEOUT_S,
        retries: Retries | None = None,
        http_client: httpx2.Client | None = None,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        super().__init__(_api(base_url, api_key, region, retries), Http(http_client, timeout_s, pause))

    @property
    def jobs(self) -> Jobs:
        """The batch jobs."""
        return Jobs(self.target, self.http)

    def close(self) -> None:
        """Close its connections."""
        self.http.client.close()

    def __enter__(self) -> Self:
        """Return the client, which is closed at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close its connections."""
        self.close()


class AsyncClient(ApiMethods, AsyncRunner[Api]):
    """The client for event loops: the same methods as those of Client, which are awaited.

    async with AsyncClient() as client:  # the API that GLOSSA_API_URL names
        result = await client.text_classification("The team won the match.")
        print(result.only[0].label)
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        api_key: str | None = None,
        region: str | None = None,
        timeout_s: float = TIMEOUT_S,
        retries: Retries | None = None,
        http_client: httpx2.AsyncClient | None = None,
        pause: Callable[[float], Awaitable[object]] | None = None,
    ) -> None:
        super().__init__(_api(base_url, api_key, region, retries), AsyncHttp(http_client, timeout_s, pause))

    @property
    def jobs(self) -> AsyncJobs:
        """The batch jobs."""
        return AsyncJobs(self.target, self.http)

    async def aclose(self) -> None:
        """Close its connections."""
        await self.http.client.aclose()

    async def __aenter__(self) -> Self:
        """Return the client, which is closed at the end of the block."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close its connections."""
        await self.aclose()


def _api(base_url: str | None, api_key: str | None, region: str | None, retries: Retries | None) -> Api:
    """Return the API that was named, else the one that the environment names. Raises InvalidRequest for no address."""
    address = base_url or os.environ.get("GLOSSA_API_URL", "")
    if not is_address(address):
        raise InvalidRequest(
            f"got the address {shown_address(address)}, expected that of the API, there or in GLOSSA_API_URL: {FORM}"
        )
    key = api_key if api_key is not None else os.environ.get("GLOSSA_API_KEY")
    return Api(address, key or None, region, retries or Retries())
