"""Unanswered calls of the processors are tried again and count against no message."""

import importlib
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from ingest.errors import WorkersUnavailable

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's import of pydantic

ID = bytes(16)


def calling() -> AbstractContextManager[None]:
    door: AbstractContextManager[None] = importlib.import_module(
        "ingest.app"
    ).unanswered_as_unavailable()
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


def test_a_worker_that_serve_stopped_is_told_from_one_that_died() -> None:
    """A machine too busy for health checks must not turn messages into dead letters."""
    app, ray = importlib.import_module("ingest.app"), importlib.import_module("ray")
    context = importlib.import_module("ray.core.generated.common_pb2").ActorDiedErrorContext

    def died(how: str) -> Exception:
        error: Exception = ray.exceptions.ActorDiedError(context(error_message=how, actor_id=ID))
        return error

    assert app.is_stopped_by_serve(died(f"The actor is dead because it was {app.STOPPED}."))
    assert not app.is_stopped_by_serve(died("Worker exit type: SYSTEM_ERROR"))
    # Ray's text can change between versions, so the installed binary has to contain it.
    program = Path(str(ray.__file__)).with_name("core") / "src/ray/gcs/gcs_server"
    assert app.STOPPED.encode() in program.read_bytes()
