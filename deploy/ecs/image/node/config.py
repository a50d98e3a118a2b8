"""Serve's configuration for the nodes that are there: every node is filled, none has to wait.

Ray's own autoscaler does not know ECS. ECS decides how many nodes there are; a node without a
replica fails the balancer's check, so replicas follow nodes.
"""

from typing import Any

Json = dict[str, Any]

# As in the service's own wiring (serve_app/app.py and its like), which sets them for one machine.
_CALLS, _QUEUED = 64, 64
_REQUESTS = 512
_PROBES = 16
_HEALTH_SECONDS, _POLL_SECONDS = 2.0, 0.2
# What a replica may take for what it has begun.
_DRAIN_SECONDS = {"UploadApi": 30.0, "ImageProcessor": 30.0, "KafkaIngest": 40.0, "Sealer": 10.0}
# Half of a node's share each: uploads and Kafka's batches are seldom at their peaks together, and
# both leave the kernel to settle it.
_SHARE = 0.4
# The longest body, and then some to process it.
_REQUEST_SECONDS = 360


def serve_config(workers: int, ingests: int, *, cpus: int, port: int) -> Json:
    """For so many nodes of each kind, with so many CPUs each."""
    share = cpus * _SHARE
    return {
        "proxy_location": "EveryNode",
        "http_options": {
            "host": "0.0.0.0",  # noqa: S104  # the balancer is another machine
            "port": port,
            "request_timeout_s": _REQUEST_SECONDS,
        },
        "logging_config": {"encoding": "JSON", "enable_access_log": True},
        "applications": [
            _application("processors", "ImageProcessor", "worker", workers, share, _CALLS, _QUEUED),
            _application("api", "UploadApi", "worker", workers, share, _REQUESTS, _REQUESTS, "/"),
            _application("ingest", "KafkaIngest", "ingest", ingests, 0.5, _PROBES, _PROBES),
            # One is enough; a second one would be safe, and idle.
            _application("lake", "Sealer", "ingest", min(1, ingests), 0.4, _PROBES, _PROBES),
        ],
    }


def _application(
    name: str,
    deployment: str,
    kind: str,
    replicas: int,
    cpus: float,
    ongoing: int,
    queued: int,
    route: str | None = None,
) -> Json:
    builders = {"api": "uploads", "lake": "sealer"}
    return {
        "name": name,
        "route_prefix": route,
        "import_path": f"node.applications:{builders.get(name, name)}",
        "args": {},
        "deployments": [
            {
                "name": deployment,
                # Serve knows no zero: one then waits for the first node of its kind.
                "num_replicas": max(1, replicas),
                "max_replicas_per_node": 1,
                "max_ongoing_requests": ongoing,
                "max_queued_requests": queued,
                "health_check_period_s": _HEALTH_SECONDS,
                "graceful_shutdown_timeout_s": _DRAIN_SECONDS[deployment],
                "graceful_shutdown_wait_loop_s": _POLL_SECONDS,
                "ray_actor_options": {"num_cpus": cpus, "label_selector": {"kind": kind}},
            }
        ],
    }
