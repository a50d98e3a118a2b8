"""What can go wrong for a caller of the API.

* ClientError
  x Refused      the server says no, and will say it again: 4xx, with the server's `code`
  x Unavailable  nobody could say yes in time: no connection, 429 or 5xx until the deadline
  x BadAnswer    what answered does not speak this API
  x Corrupted    downloaded bytes do not have the SHA-256 that the record promises
  x NotAFile     a device, a FIFO or a folder where a file is meant
  x FileChanged  a file grew or shrank while it was sent, each time that it was tried
  x InsecureUrl  the key would leave this machine over plain HTTP

Every error survives pickling: uploads are often spread over processes.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """An answer as RFC 9457 problem+json; `limit` and `value` only where a limit was passed."""

    status: int
    code: str
    detail: str
    limit: float | None = None
    value: float | str | None = None
    request_id: str | None = None


class ClientError(Exception):
    """A call that did not do what it was asked; `code` is a stable name of the reason."""

    code: str = "client_error"


class Refused(ClientError):
    """The server refused; the same request will be refused again."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem
        self.code = problem.code

    def __str__(self) -> str:
        return f"{self.code}: {self.problem.detail}"

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.problem.status

    @property
    def limit(self) -> float | None:
        """The limit that was passed, in the unit of its code."""
        return self.problem.limit

    @property
    def value(self) -> float | str | None:
        """What was measured, or the value that is not allowed."""
        return self.problem.value


class Unavailable(ClientError):
    """No answer that counts before the deadline; to send the same again is safe.

    `problem` is the server's last answer, None where nothing answered. `tries` counts requests.
    `retry_after`: the seconds that the server asked to wait, if it did.
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
    """Something answered, and it is not a Pixlake API."""

    code = "bad_answer"


class Corrupted(ClientError):
    """The bytes that came are not the bytes that were stored."""

    code = "corrupted"


class NotAFile(ClientError):
    """Not a regular file: it is not read, waited for, or replaced."""

    code = "not_a_file"


class FileChanged(ClientError):
    """The file changed while it was sent."""

    code = "file_changed"


class InsecureUrl(ClientError):
    """A key is not sent to another machine over plain HTTP unless that is allowed."""

    code = "insecure_url"
