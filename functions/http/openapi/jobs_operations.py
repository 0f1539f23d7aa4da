"""What the routes of batch jobs take and answer, for the OpenAPI page.

Must not answer requests.
"""

from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Header, Query

from functions.http.openapi import jobs_answers as answers
from functions.http.openapi.examples import JOB, RECIPE
from functions.http.openapi.operation import Operation
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
        "POST",
        "/v1/jobs",
        "Make a batch job and get where to upload its files",
        JobBody,
        answers.NewJob,
        status=201,
        also=(200,),  # the job that the same Idempotency-Key made before
        query=IDEMPOTENT,
        refusals=(404, 409),
        examples=JOB,
    ),
    Operation("GET", "/v1/jobs", "Jobs, newest first", None, answers.JobsPage, query=PAGED),
    Operation("GET", "/v1/jobs/<job>", "One job: state, counts, progress", None, answers.Job),
    Operation(
        "POST",
        "/v1/jobs/<job>/start",
        "Start a job whose files are uploaded",
        None,
        answers.Moved,
        202,
        refusals=(409,),
    ),
    Operation("POST", "/v1/jobs/<job>/cancel", "Stop a job", None, answers.Moved, 202, refusals=(409,)),
    Operation(
        "POST",
        "/v1/jobs/<job>/redrive",
        "Work on what failed of a job again",
        RedriveBody,
        answers.Redriven,
        202,
        refusals=(409,),
        needs_body=False,
    ),
    Operation(
        "DELETE",
        "/v1/jobs/<job>",
        "Delete a job that has ended, and all it left",
        None,
        answers.DeletedJob,
        refusals=(409,),
    ),
    Operation(
        "GET",
        "/v1/jobs/<job>/errors",
        "Error rows of a job that has ended",
        None,
        answers.ErrorsPage,
        query=PAGED,
        refusals=(409, 413),
    ),
    Operation(
        "GET",
        "/v1/jobs/<job>/results",
        "Manifest and ordered parts of a job's results",
        None,
        answers.ResultsPage,
        query=PAGED,
        refusals=(409,),
    ),
    Operation(
        "POST",
        "/v1/recipes",
        "Make a recipe: each object in its inbox becomes a job",
        RecipeBody,
        answers.Recipe,
        status=201,
        also=(200,),  # the same recipe was there
        refusals=(404, 409),
        examples=RECIPE,
    ),
    Operation("GET", "/v1/recipes", "Recipes", None, answers.RecipesPage, query=PAGED),
    Operation("DELETE", "/v1/recipes/<name>", "Remove a recipe", None, answers.DeletedRecipe),
)
