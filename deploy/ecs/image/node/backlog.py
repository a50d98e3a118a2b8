"""What waits for the nodes of each kind: ECS adds nodes where it is too much."""

import functools
import logging
from collections.abc import Mapping
from typing import Any

import ray
from ray import serve
from ray.serve._private.constants import SERVE_NAMESPACE

log = logging.getLogger(__name__)

_ASK_SECONDS = 2.0
_WORK = {("api", "UploadApi"), ("processors", "ImageProcessor")}


def waiting(details: Mapping[str, Any], workers: int) -> dict[str, float]:
    """Images a node, by kind of node; what does not answer is left out.

    Of a worker: requests and batches under way and queued. Of a Kafka door: messages between what
    was committed and the end of its partitions, as one of the doors says; next time another.
    """
    found = {}
    if workers:
        found["worker"] = sum(_ongoing(name) for name in _replicas(details)) / workers
    lag = _lag()
    if lag is not None:
        found["ingest"] = lag
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


def _ongoing(actor: str) -> int:
    # Serve has no public way to ask; what a replica answers here is what its router asks it.
    try:
        replica = ray.get_actor(actor, namespace=SERVE_NAMESPACE)
        asked: Any = replica.get_num_ongoing_requests.remote()
        return int(ray.get(asked, timeout=_ASK_SECONDS))
    except (ValueError, ray.exceptions.RayError):
        return 0  # it has just gone


def _lag() -> float | None:
    try:
        lag: int | None = _doors().lag.remote().result(timeout_s=_ASK_SECONDS)
    except Exception as error:  # noqa: BLE001  # whatever it is, the next round asks again
        log.info("no lag: %r", error)
        return None
    return None if lag is None else float(lag)


@functools.cache
def _doors() -> Any:
    # One for good: each handle has a router of its own, which nothing ever ends.
    return serve.get_deployment_handle("KafkaIngest", "ingest")
