"""Metrics of a consumer's status."""

from dataclasses import replace

from ingest.metrics import METRICS, samples
from ingest.status import Status

STATUS = Status(
    ready=True,
    alive=True,
    error=None,
    partitions=3,
    paused=1,
    lag=40,
    unread=30,
    inflight_messages=7,
    inflight_bytes=700,
    outcomes={"created": 5, "dead-lettered": 2},
    retries=1,
    dead_letters={"truncated": 2},
    unwritten=1,
    deleted=60,
)


def values(status: Status) -> dict[tuple[str, ...], float]:
    return {(each.metric.name, *each.labels): each.value for each in samples(status)}


def test_every_figure_of_the_status_is_a_metric() -> None:
    found = values(STATUS)
    assert found == {
        ("pixlake_kafka_messages", "created"): 5,
        ("pixlake_kafka_messages", "dead-lettered"): 2,
        ("pixlake_dead_letters", "truncated"): 2,
        ("pixlake_rejections_unwritten",): 1,
        ("pixlake_kafka_retries",): 1,
        ("pixlake_kafka_lag",): 40,
        ("pixlake_kafka_unread",): 30,
        ("pixlake_kafka_deleted_unread",): 60,
        ("pixlake_kafka_partitions",): 3,
        ("pixlake_kafka_paused",): 1,
        ("pixlake_kafka_inflight_messages",): 7,
        ("pixlake_kafka_inflight_bytes",): 700,
    }
    assert {name for name, *_ in found} == {metric.name for metric in METRICS}


def test_an_unknown_lag_is_not_zero() -> None:
    found = values(replace(STATUS, lag=None, unread=None))
    assert not {("pixlake_kafka_lag",), ("pixlake_kafka_unread",)} & found.keys()
