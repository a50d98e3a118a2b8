"""The replica controller on the head's node writes the metrics by which ECS scales."""

import json
from typing import Any

import pytest
from node.metrics import Counts

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's import of pydantic


class Ended(BaseException):
    """Ends the controller's loop; only the test catches a BaseException."""


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs three steps of the controller, of which the second fails; returns the lines written."""
    from node import replica_controller  # noqa: PLC0415  # Ray Serve takes seconds to import

    steps: list[Counts | Exception] = [Counts(2, 1, 4, 4), OSError("no head"), Counts(3, 1, 4, 4)]

    class Watched(replica_controller.ReplicaController):
        def __init__(self, settings: Any, _: str) -> None:
            self._settings = settings
            self._serve: Any = self

        def get_serve_details(self) -> dict[str, Any]:
            return {"applications": {}}

        def step(self) -> Counts:
            if not steps:
                raise Ended
            step = steps.pop(0)
            if isinstance(step, Exception):
                raise step
            return step

    for name, value in (("STAGE", "s"), ("CELL", "a"), ("HEAD", "head"), ("ADDRESS", "10.0.0.1")):
        monkeypatch.setenv(f"NODE_{name}", value)
    monkeypatch.setattr(replica_controller, "_join", lambda _: None)
    monkeypatch.setattr(replica_controller, "ReplicaController", Watched)
    monkeypatch.setattr(replica_controller, "_PERIOD_SECONDS", 0)
    monkeypatch.setattr(replica_controller, "_METRIC_SECONDS", 0)
    monkeypatch.setattr(
        replica_controller, "waiting", lambda _, workers: {"worker": workers * 10.0}
    )

    def said() -> list[dict[str, Any]]:
        with pytest.raises(Ended):
            replica_controller.main()
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return said


def test_the_backlog_is_said_again_after_a_step_that_failed(lines: Any) -> None:
    said = lines()
    assert [one["BacklogPerWorker"] for one in said if "BacklogPerWorker" in one] == [20.0, 30.0]
    assert [one["Workers"] for one in said if "Workers" in one] == [2, 3]
