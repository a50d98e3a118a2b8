"""Calls of the processors that nobody answered are tried again, and blame no message."""

import importlib
from contextlib import AbstractContextManager

import pytest

from ingest.errors import WorkersUnavailable

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's import of pydantic


def calling() -> AbstractContextManager[None]:
    door: AbstractContextManager[None] = importlib.import_module("ingest.app")._whoever_is_there()
    return door


@pytest.mark.parametrize(
    "name", ["BackPressureError", "ReplicaUnavailableError", "RequestCancelledError"]
)
def test_nobody_answered(name: str) -> None:
    error = getattr(importlib.import_module("ray.serve.exceptions"), name)
    with pytest.raises(WorkersUnavailable), calling():
        raise error.__new__(error)


@pytest.mark.parametrize("name", ["TaskCancelledError", "RayActorError"])
def test_who_was_asked_has_died(name: str) -> None:
    error = getattr(importlib.import_module("ray.exceptions"), name)
    with pytest.raises(WorkersUnavailable), calling():
        raise error.__new__(error)


def test_an_error_of_an_answer_stays_what_it_is() -> None:
    answered = importlib.import_module("ray.exceptions").RayTaskError
    with pytest.raises(answered), calling():
        raise answered("handle", "traceback", ValueError("bad"))
