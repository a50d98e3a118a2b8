"""Test the metrics that a replica reports about its children."""

from collections import Counter
from types import ModuleType

import pytest

from tests.processors.sandboxes import Start

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's import of pydantic


@pytest.fixture
def deployment() -> ModuleType:
    """The module under test, imported where the warnings of Ray are let pass."""
    from processors import deployment  # noqa: PLC0415

    return deployment


@pytest.fixture
def counted(deployment: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Totals of Ray's counters by name."""
    found: Counter[str] = Counter()

    class Noting:
        def __init__(self, name: str, description: str) -> None:
            assert description
            self._name = name

        def inc(self, value: int) -> None:
            assert value > 0, "Ray takes no zero"
            found[self._name] += value

    monkeypatch.setattr(deployment, "Counter", Noting)
    return found


async def test_every_incident_is_counted_once(
    start: Start, deployment: ModuleType, counted: Counter[str]
) -> None:
    sandbox = await start()
    metrics = deployment.IncidentMetrics(sandbox)
    metrics.tell()
    assert not counted
    sandbox.refusals_overturned = 2
    sandbox._children._nursery.intrusions = 1
    metrics.tell()
    metrics.tell()
    assert counted == {"pixlake_intrusions": 1, "pixlake_refusals_overturned": 2}
    sandbox._children._nursery.intrusions = 3
    metrics.tell()
    assert counted["pixlake_intrusions"] == 3


async def test_every_incident_has_a_metric_and_stands_in_readyz(
    start: Start, deployment: ModuleType
) -> None:
    sandbox = await start()
    assert sandbox.incidents.keys() == deployment.METRICS.keys()
    assert sandbox.incidents.items() <= sandbox.protections.items()
