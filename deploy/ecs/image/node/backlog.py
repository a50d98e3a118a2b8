"""Backlog for each kind of node; ECS adds nodes when the backlog is too large."""

import functools
from collections.abc import Mapping
from typing import Any

from lake.logs import logger
from ray import serve
from serve_app.ray_surface.cluster import ongoing_requests

log = logger(__name__)

_ASK_SECONDS = 2.0
_WORK = {("api", "UploadApi"), ("processors", "ImageProcessor")}


def waiting(details: Mapping[str, Any], workers: int) -> dict[str, float]:
    """Return waiting images per node, by kind of node; omits a kind that does not answer.

    The backlog of workers is the number of running and queued requests and batches. The backlog of
    Kafka consumers is the number of unread messages of one consumer; the next call may ask another
    consumer. The lag after the committed offset would be too high while a worker is slow or frozen:
    more consumers do not help then.
    """
    found = {}
    if workers:
        found["worker"] = (
            sum(ongoing_requests(name, _ASK_SECONDS) for name in _replicas(details)) / workers
        )
    unread = _unread()
    if unread is not None:
        found["ingest"] = unread
    return found


def _replicas(details: Mapping[str, Any]) -> list[str]:
    return [
        replica["actor_name"]
        for app, application in details["applications"].items()
        for name, deployment in application["deployments"].items()
        if (app, name) in _WORK
        for replica in deployment["replicas"]
        if replica["state"] == "RUNNING"
    ]


def _unread() -> float | None:
    try:
        unread: int | None = _consumers().unread.remote().result(timeout_s=_ASK_SECONDS)
    except Exception as error:  # noqa: BLE001  # the next round asks again
        log.info("consumer backlog is unknown", error=error)
        return None
    return None if unread is None else float(unread)


@functools.cache
def _consumers() -> Any:
    # The handle is created once, because each handle has a router that never ends.
    return serve.get_deployment_handle("KafkaIngest", "ingest")
