"""Alarms of one cell: its services on ECS, and the metrics that its nodes write."""

from typing import Final

from infra.alarm import Alarm, Metric

# Window of an alarm on single events. The window slides, so the alarm starts within two minutes and
# stays for an hour; a second event within the hour does not page again.
_RED_MINUTES: Final = 60
# Rows are usually sealed two minutes after their window began.
_SEAL_SECONDS: Final = 900
# A corrupt file may crash a decoder. Someone who searches for an attack crashes many.
_CRASHES: Final = 100
_DEAD_SHARE: Final = 0.05
# A sealer tries a deletion again every ten minutes, so a period has at least one attempt.
_DELETION_MINUTES: Final = 15


def cell_alarms(cell: str, *, stage: str, cluster: str, leads: bool, insights: bool) -> list[Alarm]:
    """Build the alarms of a cell; `leads`: its region seals rows; `insights`: ECS counts tasks."""
    return [
        *(_services(cell, cluster) if insights else ()),
        _replicas(cell, stage),
        *_decoders(cell, stage),
        *_rows(cell, stage, leads=leads),
        *_journal(cell, stage),
    ]


def _services(cell: str, cluster: str) -> list[Alarm]:
    def running(kind: str) -> dict[str, Metric]:
        of = {"ClusterName": cluster, "ServiceName": f"{cluster}-cell-{cell}-{kind}"}
        return {"running": Metric("ECS/ContainerInsights", "RunningTaskCount", "Minimum", of)}

    return [
        Alarm(
            f"head-down-{cell}",
            "Ray's head does not run: failed replicas are not replaced",
            running("head"),
            "running",
            1,
            bad="below",
            times=2,
            pages=True,
            missing="breaching",
        ),
        Alarm(
            f"no-workers-{cell}",
            "no worker of the cell runs",
            running("worker"),
            "running",
            1,
            bad="below",
            pages=True,
            missing="breaching",
        ),
    ]


def _replicas(cell: str, stage: str) -> Alarm:
    own = {"Stage": stage, "Cell": cell}
    return Alarm(
        f"replicas-missing-{cell}",
        "nodes run, but replicas do not start on them",
        {"missing": Metric("Pixlake", "ReplicasMissing", "Minimum", own)},
        "missing",
        0,
        times=3,
        # Without a replica controller nobody writes the metric.
        missing="breaching",
    )


def _decoders(cell: str, stage: str) -> list[Alarm]:
    """Build the alarms on decoders; valid files cause no such event, so one event is enough."""
    of = {"Stage": stage, "Cell": cell, "Kind": "worker"}
    return [
        Alarm(
            f"intrusion-{cell}",
            "a decoder made a forbidden system call, or broke its protocol",
            {"intrusions": Metric("Pixlake", "Intrusions", "Sum", of)},
            "intrusions",
            0,
            minutes=_RED_MINUTES,
            pages=True,
        ),
        Alarm(
            f"refusal-overturned-{cell}",
            "a decoder refused an image that a new one did not refuse",
            {"overturned": Metric("Pixlake", "RefusalsOverturned", "Sum", of)},
            "overturned",
            0,
            minutes=_RED_MINUTES,
        ),
        Alarm(
            f"figures-missing-{cell}",
            "no worker writes its metrics: the alarms on decoders can't fire",
            {"told": Metric("Pixlake", "Intrusions", "SampleCount", of)},
            "told",
            1,
            bad="below",
            times=3,
            missing="breaching",
        ),
        Alarm(
            f"decoder-crashes-{cell}",
            f"more than {_CRASHES} decoders died on images within an hour",
            {"crashes": Metric("Pixlake", "DecoderCrashes", "Sum", of)},
            "crashes",
            _CRASHES,
            minutes=60,
        ),
    ]


def _rows(cell: str, stage: str, *, leads: bool) -> list[Alarm]:
    """Build the alarms on the way of rows and messages; only a region that leads seals rows."""
    of = {"Stage": stage, "Cell": cell, "Kind": "ingest"}
    return [
        Alarm(
            f"rows-late-{cell}",
            f"rows are not sealed for {_SEAL_SECONDS} s, or no sealer runs",
            {"lag": Metric("Pixlake", "SealLag", "Maximum", of)},
            "lag",
            _SEAL_SECONDS,
            times=3,
            missing="breaching" if leads else "notBreaching",
        ),
        Alarm(
            f"deleted-unread-{cell}",
            "Kafka deleted messages before they were read: they are lost",
            {"deleted": Metric("Pixlake", "KafkaDeletedUnread", "Sum", of)},
            "deleted",
            0,
            minutes=_RED_MINUTES,
            pages=True,
        ),
        Alarm(
            f"sweep-refused-{cell}",
            "a sweep deleted nothing: the last one was a day or more ago, by the store's clock",
            {"refused": Metric("Pixlake", "SweepsRefused", "Sum", of)},
            "refused",
            0,
            minutes=_RED_MINUTES,
        ),
        Alarm(
            f"dead-letters-{cell}",
            f"more than {_DEAD_SHARE:.0%} of the messages of Kafka are refused",
            {
                "dead": Metric("Pixlake", "DeadLetters", "Sum", of),
                "all": Metric("Pixlake", "KafkaMessages", "Sum", of),
            },
            # A few refused messages of a quiet topic need nobody.
            "IF(FILL(dead, 0) > 10, dead / all, 0)",
            _DEAD_SHARE,
            minutes=15,
        ),
    ]


def _journal(cell: str, stage: str) -> list[Alarm]:
    """Build the alarms on objects that a sealer can't read or delete; only people can help."""
    of = {"Stage": stage, "Cell": cell, "Kind": "ingest"}
    return [
        Alarm(
            f"journal-unreadable-{cell}",
            "a journal object does not parse: its rows are missing in the lake",
            {"unreadable": Metric("Pixlake", "JournalUnreadable", "Maximum", of)},
            "unreadable",
            0,
            times=2,
        ),
        Alarm(
            f"hours-incomplete-{cell}",
            "an hour was compacted without a window that can't be sealed",
            {"hours": Metric("Pixlake", "HoursIncomplete", "Sum", of)},
            "hours",
            0,
            minutes=_RED_MINUTES,
        ),
        Alarm(
            f"journal-undeleted-{cell}",
            "a journal object can't be deleted: it stays beyond the retention",
            {"undeleted": Metric("Pixlake", "JournalUndeleted", "Sum", of)},
            "undeleted",
            0,
            minutes=_DELETION_MINUTES,
            times=3,
        ),
        Alarm(
            f"erasures-unfinished-{cell}",
            "an erased image has an object that can't be deleted",
            {"unfinished": Metric("Pixlake", "ErasuresUnfinished", "Sum", of)},
            "unfinished",
            0,
            minutes=_DELETION_MINUTES,
            times=2,
        ),
    ]
