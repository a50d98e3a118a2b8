"""Serve configuration for the current nodes: one set of replicas on every node.

Ray's autoscaler can't add ECS tasks. ECS sets the number of nodes, and a node without a replica
fails the load balancer's health check. So the number of replicas follows the number of nodes.
"""

from typing import Any

Json = dict[str, Any]

# Share of a node's CPUs for each of HTTP API and processors. Uploads and Kafka's batches seldom
# have their peaks together, and the kernel schedules the cores between them.
_SHARE = 0.4
# Longest time of a request's body, and time for its processing.
REQUEST_SECONDS = 360


def serve_config(
    workers: int, ingests: int, *, cpus: int, port: int, leads: bool = True, kafka: bool = True
) -> Json:
    """Build the configuration for the numbers of nodes of each kind, with `cpus` CPUs each.

    A cluster that does not lead has neither sealer nor consumer: its lake is a copy, and another
    region's replaces it. Messages of Kafka wait in the topic, and images are only served. Without
    `kafka` ingest nodes have the sealer only.
    """
    share = cpus * _SHARE
    consumer = _application("ingest", "KafkaIngest", "ingest", ingests, 0.5)
    # A second sealer would be safe, but idle.
    sealer = _application("lake", "Sealer", "ingest", min(1, ingests), 0.4)
    return {
        "proxy_location": "EveryNode",
        "http_options": {
            "host": "0.0.0.0",  # noqa: S104  # the load balancer is another machine
            "port": port,
            "request_timeout_s": REQUEST_SECONDS,
        },
        "logging_config": {"encoding": "JSON", "enable_access_log": False},
        "applications": [
            _application("processors", "ImageProcessor", "worker", workers, share),
            _application("api", "UploadApi", "worker", workers, share, "/"),
            *([consumer] if leads and kafka else []),
            *([sealer] if leads else []),
        ],
    }


def _application(
    name: str, deployment: str, kind: str, replicas: int, cpus: float, route: str | None = None
) -> Json:
    """Build the configuration of an application; its module has the other options."""
    builders = {"api": "uploads", "lake": "sealer"}
    return {
        "name": name,
        "route_prefix": route,
        "import_path": f"node.applications:{builders.get(name, name)}",
        "args": {},
        "deployments": [
            {
                "name": deployment,
                # Serve does not accept 0 replicas. A single replica waits for the first node of its
                # kind.
                "num_replicas": max(1, replicas),
                "max_replicas_per_node": 1,
                "ray_actor_options": {"num_cpus": cpus, "label_selector": {"kind": kind}},
            }
        ],
    }
