"""State of a cluster that is not in the public API of Ray."""

from collections.abc import Collection
from typing import Any

import ray
from ray.serve._private.constants import SERVE_NAMESPACE


def draining_nodes() -> Collection[str]:
    """Return the ids of nodes that drain."""
    driver: Any = ray._private.worker.global_worker  # noqa: SLF001  # no public way to ask
    draining: Collection[str] = driver.gcs_client.get_draining_nodes()
    return draining


def ongoing_requests(actor: str, timeout: float) -> int:
    """Return running and queued requests of a replica; 0 for a replica that has just ended.

    Serve's routers call this method of a replica, too.
    """
    try:
        replica = ray.get_actor(actor, namespace=SERVE_NAMESPACE)
        asked: Any = replica.get_num_ongoing_requests.remote()
        return int(ray.get(asked, timeout=timeout))
    except (ValueError, ray.exceptions.RayError):
        return 0
