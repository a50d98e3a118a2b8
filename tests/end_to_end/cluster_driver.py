"""Program that runs the applications of `pixlake up` on a Ray cluster of three nodes.

Usage: `python -m tests.end_to_end.cluster_driver FOLDER PORT`, in the environment that
`ray_environment` returns; PORT is the first of four ports for the head's agents. All nodes are on
this machine. The head is started as by `pixlake up`; the other nodes join it. When the applications
are deployed, the program prints the process ids of the nodes' raylets, the head's first. Each line
of its standard input is a number of replicas for `UploadApi`; the program prints the number when
the replicas run. Runs until SIGTERM.
"""

import json
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import ray
from ray import serve
from ray.cluster_utils import Cluster

from lake.settings import LakeSettings
from pixlake_server.embedded import app
from pixlake_server.embedded.ports import free_ports
from pixlake_server.embedded.settings import EmbeddedSettings
from processors.settings import ProcessorSettings
from serve_app import app as upload_app
from serve_app.ray_surface.ray_node import AGENT_PORTS
from serve_app.settings import ServeSettings
from tests.end_to_end.cluster import NODES


def main(folder: Path, agent_port: int) -> None:
    """Start the cluster, deploy, and scale as standard input says, until SIGTERM."""
    signal.signal(signal.SIGTERM, _leave)
    embedded, served = EmbeddedSettings(), ServeSettings()
    app.prepare_node(agent_port)
    with app.local_ray(folder, embedded):
        nodes = _with_workers(ray._private.worker._global_node)
        with app.applications(served):
            serve.run_many(app.targets(embedded, served))
            pids = [node.all_processes["raylet"][0].process.pid for node in nodes]
            _say(pids)
            for line in sys.stdin:
                _scale(int(line), served)
                _say(int(line))


def _scale(replicas: int, served: ServeSettings) -> None:
    """Scale `UploadApi`, as `serve deploy` of a changed configuration does."""
    uploads = upload_app.upload_app(
        served,
        LakeSettings(),
        ProcessorSettings(),
        replicas=replicas,
        cpus=app.CPUS_OF_A_REPLICA,
    )
    serve.run(uploads, name=upload_app.APP, route_prefix="/")


def _say(fact: object) -> None:
    sys.stdout.write(f"{json.dumps(fact)}\n")
    sys.stdout.flush()


def _with_workers(head: Any) -> list[Any]:
    """Start the nodes that join the head; all use 127.0.0.1, which `ray start` would not do."""
    cluster: Any = Cluster()
    cluster.head_node, cluster.redis_address = head, head.redis_address
    joining = range(NODES - 1)
    return [
        head,
        *(
            cluster.add_node(
                num_cpus=app.LOGICAL_CPUS,
                node_ip_address="127.0.0.1",
                **dict(zip(AGENT_PORTS, free_ports(len(AGENT_PORTS)), strict=True)),
            )
            for _ in joining
        ),
    ]


def _leave(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
