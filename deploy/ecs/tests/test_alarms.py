"""Formulas of alarms, evaluated on the series of an outage as CloudWatch would see them."""

import pytest

from infra import alarms, compact, kafka_alarms
from infra.alarm import Alarm

_ALARMS = {
    one.name: one
    for one in alarms.alarms(
        alb="app/alb/1",
        targets={"a": "targetgroup/a/1"},
        cells=["a"],
        database="db",
        caches=["cache-001"],
        kafka=kafka_alarms.msk_alarms("kafka", 3, "images", "pixlake"),
        bucket="bucket",
        vault="vault",
        stage="s",
        cluster="pixlake-s",
        leads=True,
        insights=True,
    )
}
[_OWN_KAFKA] = kafka_alarms.backlog_alarms("s", ["b"], images_per_second=2)
Series = dict[str, float | None]


def _rings(name: str, series: Series) -> bool:
    """Evaluate an alarm; None stands for a metric without a value."""
    return _value_rings(_ALARMS.get(name) or _OWN_KAFKA, series)


def _value_rings(alarm: Alarm, series: Series) -> bool:
    assert series.keys() == alarm.metrics.keys()
    functions = {
        "IF": lambda condition, yes, no: yes if condition else no,
        "FILL": lambda value, default: default if value is None else value,
        "SUM": sum,
    }
    try:
        value = eval(alarm.formula, {"__builtins__": {}}, {**functions, **series})  # noqa: S307
    except ZeroDivisionError:
        value = None  # CloudWatch has no point where the divisor is zero
    if value is None:
        return alarm.missing == "breaching"
    return bool(value > alarm.threshold if alarm.bad == "above" else value < alarm.threshold)


@pytest.mark.parametrize(
    ("series", "rings"),
    [
        # Without a healthy node RequestCount has no value, and every answer is the balancer's.
        ({"all": None, "ours": None, "alb": 5000.0}, True),
        ({"all": 5000.0, "ours": 100.0, "alb": None}, True),
        ({"all": 5000.0, "ours": 1.0, "alb": None}, False),
        ({"all": 20.0, "ours": 20.0, "alb": None}, False),
        ({"all": None, "ours": None, "alb": None}, False),
    ],
)
@pytest.mark.parametrize("name", ["errors-fast", "errors-slow"])
def test_errors_ring_also_when_nothing_answers(name: str, series: Series, *, rings: bool) -> None:
    assert _rings(name, series) is rings


@pytest.mark.parametrize(
    ("arrived", "late", "rings"),
    [(50.0, None, True), (50.0, 400.0, False), (0.0, None, False), (0.0, 0.0, False)],
)
def test_a_group_without_a_lag_rings_while_messages_arrive(
    arrived: float, late: float | None, *, rings: bool
) -> None:
    assert _rings("kafka-stuck", {"in0": arrived, "in1": 0.0, "in2": 0.0, "late": late}) is rings


@pytest.mark.parametrize(
    "name", ["no-healthy-node-a", "no-workers-a", "replicas-missing-a", "backup-missing"]
)
def test_silence_of_what_reports_all_the_time_rings(name: str) -> None:
    alarm = _ALARMS[name]
    assert _rings(name, dict.fromkeys(alarm.metrics))


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("journal-unreadable-a", "unreadable"),
        ("hours-incomplete-a", "hours"),
        ("journal-undeleted-a", "undeleted"),
        ("erasures-unfinished-a", "unfinished"),
    ],
)
@pytest.mark.parametrize(("value", "rings"), [(1.0, True), (0.0, False), (None, False)])
def test_one_object_that_only_people_can_mend_rings(
    name: str, key: str, value: float | None, *, rings: bool
) -> None:
    assert _rings(name, {key: value}) is rings


_COMPACT = {one.name: one for one in compact.merge(list(_ALARMS.values()), "-a")}
_GOOD: dict[str, Series] = {
    "database": {"free": 5e9, "cpu": 20.0},
    "nodes-silent-a": {"missing": 0.0, "told": 3.0, "lag": 60.0},
    "uploads": {"p99": 0.5, "errors": None},
    "lake-events-a": {"refused": None, "hours": 0.0, "crashes": 100.0},
    "lake-stuck-a": {"unreadable": None, "undeleted": 0.0, "unfinished": None},
}


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("database", {"free": 1e9}),
        ("database", {"cpu": 86.0}),
        ("nodes-silent-a", {"missing": 1.0}),
        ("nodes-silent-a", {"missing": None}),
        ("nodes-silent-a", {"told": None}),
        ("nodes-silent-a", {"lag": 901.0}),
        ("nodes-silent-a", {"lag": None}),
        ("uploads", {"p99": 2.5}),
        ("uploads", {"errors": 51.0}),
        ("lake-events-a", {"refused": 1.0}),
        ("lake-events-a", {"hours": 1.0}),
        ("lake-events-a", {"crashes": 101.0}),
        ("lake-stuck-a", {"unreadable": 1.0}),
        ("lake-stuck-a", {"undeleted": 1.0}),
        ("lake-stuck-a", {"unfinished": 1.0}),
    ],
)
def test_a_merged_alarm_rings_by_each_of_its_bounds(name: str, bad: Series) -> None:
    assert not _value_rings(_COMPACT[name], _GOOD[name])
    assert _value_rings(_COMPACT[name], _GOOD[name] | bad)


def test_a_merged_alarm_stands_for_its_parts_and_pages_stay_as_they_are() -> None:
    merged = {part for one in _COMPACT.values() for part in one.runbook}
    left_out = {"backup-failed", "backup-missing"}
    assert _ALARMS.keys() - _COMPACT.keys() - left_out == {
        name if f"{name}-a" not in _ALARMS else f"{name}-a" for name in merged
    }
    assert {name for name, one in _ALARMS.items() if one.pages} <= _COMPACT.keys()


def test_a_deletion_that_fails_once_rings_nobody() -> None:
    """A sealer tries again after ten minutes; each period must have an attempt."""
    for name in ("journal-undeleted-a", "erasures-unfinished-a"):
        assert _ALARMS[name].minutes > 10
        assert _ALARMS[name].times > 1


@pytest.mark.parametrize(("unread", "rings"), [(601.0, True), (599.0, False), (None, True)])
def test_a_kafka_of_yours_rings_by_its_backlog(unread: float | None, *, rings: bool) -> None:
    """At 2 images a second 600 messages are those of 300 s; without a consumer nobody counts."""
    assert _rings(_OWN_KAFKA.name, {"unread": unread}) is rings
