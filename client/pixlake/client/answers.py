"""Classification of HTTP answers: success, final refusal, or retry."""

from datetime import UTC, datetime

import httpx
from pydantic import BaseModel, ValidationError

from pixlake.client.errors import BadAnswer, Problem, Refused
from pixlake.client.retries import RETRYABLE, parse_retry_after

_MAX_DETAIL = 300
_MAX_CODE = 64


class Again(Exception):
    """A try failed (internal to the client); `final` if a retry is useless."""

    def __init__(
        self,
        message: str,
        *,
        problem: Problem | None = None,
        retry_after: float | None = None,
        final: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.problem = problem
        self.retry_after = retry_after
        self.final = final


class _ProblemBody(BaseModel):
    """Members of problem+json that the client reads."""

    code: str
    title: str = ""
    detail: str | None = None
    limit: float | None = None
    value: float | str | None = None
    request_id: str | None = None


def check(response: httpx.Response) -> None:
    """Check the status of an answer; raises Refused, BadAnswer, or Again."""
    if response.is_success:
        return
    status = response.status_code
    if not (response.is_client_error or response.is_server_error):
        raise BadAnswer(f"{response.url} answered {status}, which no Pixlake API does")
    problem = _problem(response)
    if response.is_client_error and status not in RETRYABLE:
        raise Refused(problem)
    raise Again(
        f"{problem.code}: {problem.detail}",
        problem=problem,
        retry_after=parse_retry_after(response.headers.get("Retry-After"), datetime.now(UTC)),
        final=status not in RETRYABLE,
    )


def _problem(response: httpx.Response) -> Problem:
    """Parse problem+json; builds a problem from the status if a proxy answered otherwise."""
    try:
        parsed = _ProblemBody.model_validate_json(response.content)
    except ValidationError:
        detail = f"{response.status_code} {response.reason_phrase}".strip()
        return Problem(response.status_code, f"http_{response.status_code}", detail)
    detail = (parsed.detail or parsed.title)[:_MAX_DETAIL]
    return Problem(
        response.status_code,
        parsed.code[:_MAX_CODE],
        detail,
        parsed.limit,
        parsed.value,
        parsed.request_id,
    )
