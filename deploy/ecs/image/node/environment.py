"""Environment variables for Ray on a node of a cluster, which Ray reads when it is imported.

`pixlake_server/embedded/ray_environment.py` is the counterpart for one machine. A node of a cluster
must accept connections of other nodes.
"""

import os

from pixlake_server.embedded.haproxy import write_launcher
from serve_app.ray_surface.environment import RAY_SERVE_ENV, haproxy_environment
from serve_app.settings import ServeSettings

from node import names
from node.settings import Kind, NodeSettings

# Ports of the replicas' HTTP servers; HAProxy of every node connects to all replicas.
REPLICA_PORTS = (30_000, 31_000)
METRICS_PORT = 8080
# Health checks by the head: period and time-out in seconds, failures until a node is dead. Ray has
# the same defaults.
_PERIOD, _TIMEOUT, _FAILURES = 3, 10, 5
DEAD_SECONDS = ((_FAILURES - 1) * _PERIOD + _FAILURES * _TIMEOUT, _FAILURES * (_PERIOD + _TIMEOUT))
"""shortest and longest time from the cut of a connection until the head declares the node dead"""
# Ports of a node's Ray agents; without fixed ports the node would wait for the agents to choose.
AGENT_PORTS = {
    "dashboard-agent-grpc-port": 8081,
    "dashboard-agent-listen-port": 8082,
    "runtime-env-agent-port": 8083,
}

OF_THE_CONTROLLER = {
    # The controller has no event loop. RAY_SERVE_THROUGHPUT_OPTIMIZED makes calls of replicas use
    # that of the caller, so the backlog of the consumers would be unknown for ever.
    "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "1",
}
"""more variables of the replica controller, on the head"""


def node_environment(settings: NodeSettings, kind: Kind) -> dict[str, str]:
    """Build the environment of Ray's processes: the task's variables, and those of this module."""
    address = settings.address or names.own_address()
    return {**os.environ, **ray_environment(settings, kind), "NODE_ADDRESS": address}


def ray_environment(settings: NodeSettings, kind: Kind) -> dict[str, str]:
    """Build the variables for `ray start`, which all Ray processes of the node inherit.

    Writes HAProxy's launcher and configuration, as on one machine, into the scratch folder.
    """
    home = settings.scratch / "home"
    haproxy = settings.scratch / "haproxy"
    for folder in (home, haproxy):
        folder.mkdir(parents=True, exist_ok=True)
    served = ServeSettings(
        http_host="0.0.0.0",  # noqa: S104
        http_port=settings.api_port,
        # HAProxy sees only addresses of the load balancer. WAF counts requests by client address.
        address_connections=0,
    )
    launcher = write_launcher(haproxy, served)
    found = {
        **RAY_SERVE_ENV,
        **haproxy_environment(haproxy, launcher, REPLICA_PORTS),
        # The root file system is read only, so HOME is in the scratch folder.
        "HOME": str(home),
        "TMPDIR": str(settings.scratch),
        # Resolve names with the C library, as other programs do. gRPC's own resolver asks a DNS
        # server for names of /etc/hosts, too, and waits for the answer.
        "GRPC_DNS_RESOLVER": "native",
        "RAY_health_check_period_ms": str(_PERIOD * 1000),
        "RAY_health_check_timeout_ms": str(_TIMEOUT * 1000),
        "RAY_health_check_failure_threshold": str(_FAILURES),
        "RAY_gcs_rpc_server_reconnect_timeout_s": str(settings.reconnect_seconds),
        # A new head asks each replica for its state. The answer is an object that the replica's
        # node pushes, but the node hears of the new head only ten to thirty seconds later. Ray
        # would retry after 10 and 30 seconds, and after 30 seconds end the replica as broken.
        "RAY_object_manager_pull_timeout_ms": "1000",
        "RAY_SERVE_SLOW_STARTUP_WARNING_S": "120",
        # The load balancer notices a draining node within two health checks, 5 s apart.
        "RAY_SERVE_PROXY_MIN_DRAINING_PERIOD_S": "15",
        # HAProxy of the other nodes is told within a second that a replica stops.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "5",
        "PIXLAKE_HOME": str(home),
        "PIXLAKE_HTTP_PORT": str(settings.api_port),
    }
    if kind == "head":
        # The head runs Serve's controller, so it is never idle; and it gets no requests.
        found["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"] = "0"
    if kind == "ingest" and settings.kafka_cluster_arn:
        from node.msk import kafka_environment  # noqa: PLC0415  # boto3 is slow to import

        found |= kafka_environment(settings.kafka_cluster_arn)
    url = settings.database_url
    if kind != "head" and url is not None:
        found["PIXLAKE_DATABASE_URL"] = url
    # The API runs on workers.
    if kind == "worker" and (cache := settings.cache_url) is not None:
        found["PIXLAKE_CACHE_URL"] = cache
    return found
