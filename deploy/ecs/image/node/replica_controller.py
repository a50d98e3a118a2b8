"""Replica controller on the head: deploys replicas on the current nodes, and reports metrics.

Runs as `python -m node.replica_controller`, a child of the head's entrypoint. The process may die
and be restarted at any time.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import ray
from lake.logs import begin, logger
from ray.dashboard.modules.serve.sdk import ServeSubmissionClient
from serve_app.ray_surface.cluster import draining_nodes

from node import names
from node.backlog import waiting
from node.config import serve_config
from node.metrics import Counts, report
from node.settings import NodeSettings

log = logger(__name__)

_PERIOD_SECONDS = 5.0
_METRIC_SECONDS = 60.0


class ServeApi(Protocol):
    """REST API of Ray Serve; `ServeSubmissionClient` implements it."""

    def get_serve_details(self) -> dict[str, Any]:
        """Return the state of all applications."""

    def deploy_applications(self, config: dict[str, Any]) -> None:
        """Replace the configuration."""


Backlog = Callable[[Mapping[str, Any], int], dict[str, float]]
"""Counts the images that wait for a node, by kind of node; see `waiting`."""


class ReplicaController:
    """Controller of one cluster; stores the last deployed configuration."""

    def __init__(self, settings: NodeSettings, serve: ServeApi, backlog: Backlog = waiting) -> None:
        self._settings = settings
        self._serve = serve
        self._backlog = backlog
        self._laid_out: dict[str, Any] | None = None

    def step(self) -> Counts:
        """Count the nodes, and deploy a new configuration if the counts have changed."""
        nodes = self._nodes()
        workers, ingests = nodes["worker"], nodes["ingest"]
        wanted = serve_config(
            workers,
            ingests,
            cpus=self._settings.cpus,
            port=self._settings.api_port,
            leads=self._settings.leads,
            kafka=self._settings.kafka,
        )
        # Deploy only once a worker exists. The first replicas decide which code runs, so they must
        # start at once and not wait for a node.
        if workers and wanted != self._laid_out:
            self._serve.deploy_applications(wanted)
            self._laid_out = wanted
            log.info("applications deployed", workers=workers, ingest_nodes=ingests)
        return Counts(workers, ingests, *self._replicas())

    @staticmethod
    def _nodes() -> Counter[str]:
        # A draining node does not count: its replicas need places on the other nodes.
        draining = draining_nodes()
        nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
        return Counter(
            node["Labels"].get("kind", "head")
            for node in nodes
            if node["Alive"] and node["NodeID"] not in draining
        )

    def tell(self, counts: Counts) -> None:
        """Write the metrics of the minute to the log, from which CloudWatch reads them."""
        found = self._backlog(self._serve.get_serve_details(), counts.workers)
        for line in report(self._settings, counts, found):
            print(json.dumps(line), flush=True)

    def _replicas(self) -> tuple[int, int]:
        """Count wanted replicas and running replicas."""
        wanted = running = 0
        for application in self._serve.get_serve_details()["applications"].values():
            for deployment in application["deployments"].values():
                wanted += deployment["target_num_replicas"]
                states = Counter(one["state"] for one in deployment["replicas"])
                running += states["RUNNING"]
        return wanted, running


def main() -> None:
    """Run until the process is killed."""
    settings = NodeSettings()
    address = settings.address or names.own_address()
    _join(f"{address}:{settings.head_port}")
    serve = ServeSubmissionClient(f"http://{address}:{settings.dashboard_port}")
    control(ReplicaController(settings, serve))


def control(
    controller: ReplicaController,
    period_seconds: float = _PERIOD_SECONDS,
    metric_seconds: float = _METRIC_SECONDS,
) -> None:
    """Repeat the step each period, and write the metrics once a minute; never returns."""
    reported_at = -metric_seconds
    while True:
        try:
            counts = controller.step()
            if time.monotonic() - reported_at >= metric_seconds:
                reported_at = time.monotonic()
                controller.tell(counts)
        except Exception:  # the head may be starting or stopping; the next step tries again
            log.exception("a step of the replica controller failed")
        time.sleep(period_seconds)


def _join(address: str) -> None:
    """Connect to Ray; retries until the head's GCS answers."""
    while True:
        try:
            ray.init(address=address, log_to_driver=False, namespace="replica-controller")
        except (ConnectionError, RuntimeError) as error:
            log.info("the head does not answer yet", error=error)
            time.sleep(_PERIOD_SECONDS)
        else:
            return


if __name__ == "__main__":
    begin()
    main()
