"""Alarms on Kafka: on a cluster of this environment, or on the backlog of your own cluster."""

from collections.abc import Sequence
from typing import Final

from infra.alarm import Alarm, Metric

ROW_SECONDS: Final = 300
_MOST_METRICS: Final = 10
# Stands for a lag that Kafka does not report; longer than any lag.
_NO_LAG: Final = 1_000_000_000


def msk_alarms(cluster: str, brokers: int, topic: str, group: str) -> list[Alarm]:
    """Build the alarms on a cluster of this environment, which MSK writes metrics of."""
    whole = {"Cluster Name": cluster}
    each = [{**whole, "Broker ID": str(number)} for number in range(1, brokers + 1)]
    consumer = {**whole, "Consumer Group": group, "Topic": topic}
    # An alarm reads ten metrics at most. Leaders of partitions are on all brokers.
    arrived = {
        f"in{number}": Metric("AWS/Kafka", "BytesInPerSec", "Sum", {**one, "Topic": topic})
        for number, one in enumerate(each[: _MOST_METRICS - 1])
    }
    late = Metric("AWS/Kafka", "EstimatedMaxTimeLag", "Maximum", consumer)
    return [
        Alarm(
            "kafka-late",
            f"a message waits for more than {ROW_SECONDS} s",
            {"late": late},
            "late",
            ROW_SECONDS,
            times=2,
            pages=True,
        ),
        Alarm(
            "kafka-stuck",
            "messages arrive, and Kafka reports no lag: the group rebalances without end",
            {**arrived, "late": late},
            # Kafka reports a lag only for a group that is stable or empty.
            f"IF(SUM([{', '.join(arrived)}]) > 0, FILL(late, {_NO_LAG}), 0)",
            _NO_LAG - 1,
            times=3,
            pages=True,
        ),
        Alarm(
            "kafka-partitions",
            "a partition has no leader: producers are refused",
            {"offline": Metric("AWS/Kafka", "OfflinePartitionsCount", "Maximum", whole)},
            "offline",
            0,
            pages=True,
        ),
        *(
            Alarm(
                f"kafka-disk-{number}",
                f"the disk of broker {number} is nearly full",
                {"used": Metric("AWS/Kafka", "KafkaDataLogsDiskUsed", "Maximum", one)},
                "used",
                80,
                times=2,
            )
            for number, one in enumerate(each, start=1)
        ),
    ]


def backlog_alarms(stage: str, cells: Sequence[str], images_per_second: float) -> list[Alarm]:
    """Build the alarm on messages that wait in your own cluster, for each cell.

    Nobody but the consumers measures it: none tells if no consumer works, and then it rings, too.
    """
    late = images_per_second * ROW_SECONDS
    return [
        Alarm(
            f"kafka-late-{cell}",
            f"{late:,.0f} messages wait for a consumer, {ROW_SECONDS} s of the expected rate; or "
            "no consumer works",
            {
                "unread": Metric(
                    "Pixlake",
                    "BacklogPerWorker",
                    "Minimum",
                    {"Stage": stage, "Cell": cell, "Kind": "ingest"},
                )
            },
            "unread",
            late,
            times=3,
            pages=True,
            missing="breaching",
        )
        for cell in cells
    ]
