"""Size limit of the server; the client requests it before it sends a large image."""

import httpx
from pydantic import BaseModel, ValidationError

from pixlake.client.answers import check
from pixlake.client.errors import Problem, Refused

_TOO_LARGE = "too_many_bytes"
_STATUS = 413
# For larger images the request for the limit costs less than a refused upload; in bytes.
_WORTH_ASKING = 1_000_000


class _Limits(BaseModel):
    """Members of `/v1/limits` that the client reads."""

    max_bytes: float


class Limit:
    """Largest image in bytes that the server accepts."""

    def __init__(self) -> None:
        self._bytes: float | None = None
        self._asked = False

    def check(self, size: int, pool: httpx.Client, timeout: httpx.Timeout) -> None:
        """Raise Refused if the image is too large; also raises the errors of the request."""
        if size >= _WORTH_ASKING and not self._asked:
            self._ask(pool, timeout)
        if self._bytes is not None and size > self._bytes:
            detail = "the image has more bytes than the server accepts"
            raise Refused(Problem(_STATUS, _TOO_LARGE, detail, self._bytes, size))

    def learn(self, refused: Refused) -> None:
        """Store the limit that a refusal contains."""
        if refused.code == _TOO_LARGE:
            self._bytes = refused.limit

    def _ask(self, pool: httpx.Client, timeout: httpx.Timeout) -> None:
        response = pool.get("/v1/limits", timeout=timeout)
        if response.status_code != httpx.codes.NOT_FOUND:  # older servers lack the route
            check(response)
            try:
                self._bytes = _Limits.model_validate_json(response.content).max_bytes
            except ValidationError:
                self._bytes = None  # not a Pixlake API; the upload reports it
        self._asked = True
