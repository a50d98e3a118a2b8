"""What the server takes at most: asked before a large image is sent."""

import threading

import httpx
from pydantic import BaseModel, ValidationError

from pixlake.client.answers import check
from pixlake.client.errors import Problem, Refused

_TOO_LARGE = "too_many_bytes"
_STATUS = 413
# A question costs less than the bytes that it may spare from here on.
_WORTH_ASKING = 1_000_000


class _Limits(BaseModel):
    """The members of `/v1/limits` that we read."""

    max_bytes: float


class Limit:
    """Bytes of an image, as the server said."""

    def __init__(self) -> None:
        self._bytes: float | None = None
        self._asked = False
        self._lock = threading.Lock()

    def check(self, size: int, pool: httpx.Client, timeout: httpx.Timeout) -> None:
        """Raise what the server would answer to so many bytes, or what asking for it raises."""
        if size >= _WORTH_ASKING and not self._asked:
            with self._lock:
                self._ask(pool, timeout)
        if self._bytes is not None and size > self._bytes:
            detail = "the image has more bytes than the server takes"
            raise Refused(Problem(_STATUS, _TOO_LARGE, detail, self._bytes, size))

    def learn(self, refused: Refused) -> None:
        """Keep the limit that a refusal names."""
        if refused.code == _TOO_LARGE:
            self._bytes = refused.limit

    def _ask(self, pool: httpx.Client, timeout: httpx.Timeout) -> None:
        if self._asked:
            return  # by another thread
        response = pool.get("/v1/limits", timeout=timeout)
        if response.status_code != httpx.codes.NOT_FOUND:  # a server of before
            check(response)
            try:
                self._bytes = _Limits.model_validate_json(response.content).max_bytes
            except ValidationError:
                self._bytes = None  # something in between; the upload finds out
        self._asked = True
