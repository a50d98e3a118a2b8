"""The replica controller on the head's node writes the metrics by which ECS scales."""

import json
from typing import Any

import pytest
from node.metrics import Counts
from node.settings import NodeSettings

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's import of pydantic


class Ended(BaseException):
    """Ends the controller's loop; only the test catches a BaseException."""


class Idle:
    """Ray Serve without applications."""

    def get_serve_details(self) -> dict[str, Any]:
        return {"applications": {}}

    def deploy_applications(self, config: dict[str, Any]) -> None:
        raise AssertionError(f"no step deploys {config}")


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs three steps of the controller, of which the second fails; returns the lines written."""
    from node import replica_controller  # noqa: PLC0415  # Ray Serve takes seconds to import

    steps: list[Counts | Exception] = [Counts(2, 1, 4, 4), OSError("no head"), Counts(3, 1, 4, 4)]

    class Watched(replica_controller.ReplicaController):
        def step(self) -> Counts:
            if not steps:
                raise Ended
            step = steps.pop(0)
            if isinstance(step, Exception):
                raise step
            return step

    settings = NodeSettings(stage="s", cell="a", head="head")
    watched = Watched(settings, Idle(), lambda _, workers: {"worker": workers * 10.0})

    def said() -> list[dict[str, Any]]:
        with pytest.raises(Ended):
            replica_controller.control(watched, period_seconds=0, metric_seconds=0)
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return said


def test_the_backlog_is_said_again_after_a_step_that_failed(lines: Any) -> None:
    said = lines()
    assert [one["BacklogPerWorker"] for one in said if "BacklogPerWorker" in one] == [20.0, 30.0]
    assert [one["Workers"] for one in said if "Workers" in one] == [2, 3]
