"""Answers of a processor replica to other processes: a value, or an error with a code.

An error with a code is returned and never raised over Ray. Ray wraps a raised exception in a
RayTaskError of another type, and Serve logs it with a traceback as a fault of the replica. Callers
use `unwrap`, so an exception that Ray raises always means that the call itself failed.
"""

from collections.abc import Awaitable, Callable, Coroutine, Iterable
from functools import wraps
from typing import Any, Literal, ParamSpec, TypeVar

from lake.errors import CodedError
from lake.lake import Commit

P = ParamSpec("P")
T = TypeVar("T")

Answer = Literal["created", "replayed"] | CodedError
"""Result of one image of a batch."""


def returns_errors(
    method: Callable[P, Awaitable[T]],
) -> Callable[P, Coroutine[Any, Any, T | CodedError]]:
    """Decorate a method that other processes call: it returns CodedError instead of raising it."""

    @wraps(method)
    async def call(*args: P.args, **kwargs: P.kwargs) -> T | CodedError:
        try:
            return await method(*args, **kwargs)
        except CodedError as error:
            return error

    return call


def unwrap(answer: T | CodedError) -> T:
    """Return the value of an answer, or raise its error."""
    if isinstance(answer, CodedError):
        raise answer
    return answer


def answers(slots: Iterable[Commit | CodedError]) -> list[Answer]:
    """Reduce each commit to its outcome, because callers of a batch do not read the records.

    The records are most of an answer's bytes. Passing them between processes took a third of the
    caller's Python time for small photographs.
    """
    return [slot.outcome if isinstance(slot, Commit) else slot for slot in slots]
