"""Errors of the client.

* ClientError
  x Refused      final refusal by the server: 4xx, with the server's `code`
  x Unavailable  no success before the deadline: no connection, 429 or 5xx
  x BadAnswer    the server that answered is not a Pixlake API
  x Corrupted    downloaded bytes do not have the SHA-256 of the record
  x NotAFile     a device, a FIFO or a folder in place of a file
  x FileChanged  a file grew or shrank while it was sent, in every try
  x InsecureUrl  the key would be sent to another machine over plain HTTP

Every error can be pickled, because uploads are often spread over processes.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """Answer in RFC 9457 problem+json; `limit` and `value` only if a limit was exceeded."""

    status: int
    code: str
    detail: str
    limit: float | None = None
    value: float | str | None = None
    request_id: str | None = None


class ClientError(Exception):
    """Base class of the client's errors; `code` is a stable name of the reason."""

    code: str = "client_error"


class Refused(ClientError):
    """The server refused the request, and would refuse the same request again."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem
        self.code = problem.code

    def __str__(self) -> str:
        return f"{self.code}: {self.problem.detail}"

    @property
    def status(self) -> int:
        """HTTP status of the refusal."""
        return self.problem.status

    @property
    def limit(self) -> float | None:
        """Exceeded limit, in the unit of its code."""
        return self.problem.limit

    @property
    def value(self) -> float | str | None:
        """Measured or invalid value."""
        return self.problem.value


class Unavailable(ClientError):
    """No success before the deadline; repeating the call is safe.

    `problem` is the server's last answer, None without one. `tries` counts requests. `retry_after`
    is the wait in seconds that the server asked for.
    """

    code = "unavailable"

    def __init__(
        self,
        message: str,
        tries: int,
        problem: Problem | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, tries, problem, retry_after)
        self.message = message
        self.tries = tries
        self.problem = problem
        self.retry_after = retry_after

    def __str__(self) -> str:
        return self.message


class BadAnswer(ClientError):
    """The server that answered is not a Pixlake API."""

    code = "bad_answer"


class Corrupted(ClientError):
    """The received bytes are not the stored bytes."""

    code = "corrupted"


class NotAFile(ClientError):
    """The path is not a regular file, so the client neither reads nor replaces it."""

    code = "not_a_file"


class FileChanged(ClientError):
    """The file changed while it was sent."""

    code = "file_changed"


class InsecureUrl(ClientError):
    """The key would be sent to another machine over plain HTTP, which must be allowed."""

    code = "insecure_url"
