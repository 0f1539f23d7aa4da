"""What the routes of batch jobs take and answer, for the OpenAPI page.

Must not answer requests.
"""

from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Header, Query

from functions.http.openapi.page import Operation
from functions.jobs.api.pages import MAX_PAGE
from functions.jobs.api.request_bodies import TOKEN, JobBody, RecipeBody, RedriveBody

PAGED = {
    "page_size": Annotated[int | None, Query(ge=1, le=MAX_PAGE)],
    "cursor": Annotated[str | None, Query(min_length=1, description="the `next` of an earlier page")],
}


IDEMPOTENT = {
    "idempotency_key": Annotated[
        str | None, Header(alias="Idempotency-Key", min_length=1, max_length=255, pattern=f"^{TOKEN.pattern}$")
    ]
}


OPERATIONS = (
    Operation(
        "POST", "/v1/jobs", "Make a batch job and get where to upload its files", JobBody, status=201, query=IDEMPOTENT
    ),
    Operation("GET", "/v1/jobs", "Jobs, newest first", query=PAGED),
    Operation("GET", "/v1/jobs/<job>", "One job: state, counts, progress"),
    Operation("POST", "/v1/jobs/<job>/start", "Start a job whose files are uploaded", status=202),
    Operation("POST", "/v1/jobs/<job>/cancel", "Stop a job", status=202),
    Operation("POST", "/v1/jobs/<job>/redrive", "Work on what failed of a job again", RedriveBody, status=202),
    Operation("DELETE", "/v1/jobs/<job>", "Delete a job that has ended, and all it left"),
    Operation("GET", "/v1/jobs/<job>/errors", "Error rows of a job that has ended", query=PAGED),
    Operation("GET", "/v1/jobs/<job>/results", "Manifest and ordered parts of a job's results", query=PAGED),
    Operation("POST", "/v1/recipes", "Make a recipe: each object in its inbox becomes a job", RecipeBody, status=201),
    Operation("GET", "/v1/recipes", "Recipes", query=PAGED),
    Operation("DELETE", "/v1/recipes/<name>", "Remove a recipe"),
)
