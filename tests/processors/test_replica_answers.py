import importlib
import inspect
import pickle
from collections.abc import Awaitable
from types import SimpleNamespace
from typing import Any

import pytest

from lake.errors import CodedError, StoreUnavailable
from processors.replica_answers import unwrap

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's import of pydantic

CALLS: dict[str, tuple[Any, ...]] = {
    "handle": (None,),
    "settle": (None,),
    "count_failure": ("id", "how"),
    "check_preset": (None,),
    "ready": (),
}
# Methods with other answers: `handle_many` returns a list, which contains the errors.
OTHERS = {"handle_many", "spare"}


class Failing:
    """Stand-in for a lake or a worker; every method raises `error`."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __getattr__(self, name: str) -> "Failing":
        return self

    async def __call__(self, *_: object) -> None:
        raise self.error


def replicas() -> type:
    kind: type = importlib.import_module("processors.deployment").ImageProcessor
    return kind


def called(name: str, error: Exception) -> Awaitable[object]:
    replica = SimpleNamespace(_lake=Failing(error), _worker=Failing(error))
    answer: Awaitable[object] = getattr(replicas(), name)(replica, *CALLS[name])
    return answer


def test_every_method_of_a_replica_is_known_here() -> None:
    methods = inspect.getmembers(replicas(), inspect.iscoroutinefunction)
    assert {name for name, _ in methods if not name.startswith("_")} == {*CALLS, *OTHERS}


@pytest.mark.parametrize("name", CALLS)
async def test_an_error_with_a_code_is_an_answer_and_raised_again(name: str) -> None:
    answer = await called(name, StoreUnavailable("away", limit=3, value="x"))
    received: CodedError = pickle.loads(pickle.dumps(answer))  # noqa: S301  # our own bytes
    with pytest.raises(StoreUnavailable, match="away") as raised:
        unwrap(received)
    assert (raised.value.limit, raised.value.value) == (3, "x")


@pytest.mark.parametrize("name", CALLS)
async def test_any_other_exception_is_a_failed_call(name: str) -> None:
    with pytest.raises(ZeroDivisionError):
        await called(name, ZeroDivisionError())


def test_a_value_is_its_own_answer() -> None:
    assert unwrap(0) == 0
    assert unwrap(None) is None
