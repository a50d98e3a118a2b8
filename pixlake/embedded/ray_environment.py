"""The environment of Ray on this machine: its settings are read where `ray` is imported."""

import math
import secrets
from pathlib import Path

from pixlake.embedded.haproxy import write_launcher
from pixlake.embedded.port_block import PortBlock

_OWNER_ONLY = 0o600


def ray_environment(
    folder: Path,
    ports: PortBlock,
    *,
    host: str,
    port: int,
    answer_seconds: float = 50,
    idle_seconds: float = 30,
    address_connections: int = 500,
    start_seconds: float = 120,
) -> dict[str, str]:
    """Variables for the process that starts Ray, and so for all of Ray's processes.

    `host` and `port` are the API's, which answers an upload within `answer_seconds` and waits
    `idle_seconds` for a client; for `address_connections` see `write_launcher`. Nothing of Ray
    gives up its start before `start_seconds`.

    Writes the cluster's token and HAProxy's launcher into `folder`.
    """
    token = folder / "ray-token"
    token.touch(mode=_OWNER_ONLY)
    token.write_text(secrets.token_hex(32))
    haproxy = folder / "h"
    launcher = write_launcher(
        folder,
        host=host,
        port=port,
        answer_seconds=answer_seconds,
        idle_seconds=idle_seconds,
        address_connections=address_connections,
    )
    first, last = ports.replicas
    return {
        **_patience(math.ceil(start_seconds)),
        # Nobody without this run's token talks to the cluster, other users of the machine
        # included; whoever could, could run code in it.
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        # Despite its name: 0 keeps a node on 127.0.0.1, on every system.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ROTATION_MAX_BYTES": "20000000",
        "RAY_ROTATION_BACKUP_COUNT": "1",
        # Ray puts its workers last in the queue for the CPU; here they are the service.
        "RAY_worker_niceness": "0",
        # Started for nothing: our replicas need workers with a set-up hook.
        "RAY_enable_worker_prestart": "0",
        "RAY_prestart_worker_first_driver": "0",
        # Nothing is printed from Ray's log files here, so it need not look for new ones.
        "LOG_NAME_UPDATE_INTERVAL_S": "60",
        # Five times as often takes 2 % of a core; so what died is replaced half a second later.
        "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",
        # HAProxy in front of the replicas' own HTTP servers: ten times Serve's Python proxy.
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        # ... but images go by reference; gRPC would copy them, up to 4 MiB.
        "RAY_SERVE_USE_GRPC_BY_DEFAULT": "0",
        # ... and the last lines before a crash are the ones we need.
        "RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1",
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "serve_app.edge:middlewares",
        "RAY_SERVE_CONTROLLER_CALLBACK_IMPORT_PATH": "serve_app.controller:prepare",
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(launcher),
        "RAY_SERVE_HAPROXY_NBTHREAD": "2",
        # With paths of its own; by default all clusters of a machine share one folder. Ray puts
        # the 56 digits of the node's id before the last name, so there is no room for long names.
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(haproxy / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(haproxy / "a"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(haproxy),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(haproxy / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(haproxy / "m"),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(ports.haproxy_metrics),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(ports.haproxy_stats),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(ports.fallback_proxy),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(first),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(last),
        # A port clash must be an error, not two servers that share the requests.
        "SERVE_SOCKET_REUSE_PORT_ENABLED": "0",
        # One node: there is no load balancer to wait for.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0",
        "RAY_SERVE_PROXY_MIN_DRAINING_PERIOD_S": "0.1",
        "RAY_SERVE_HAPROXY_HEALTH_CHECK_INTER": "1s",
    }


def _patience(seconds: int) -> dict[str, str]:
    """Every limit of Ray on a start, by its own name; none below Ray's own default.

    Ray's defaults suit an idle machine. One limit is a constant: see `patience` in `app.py`.
    """
    return {
        # The driver waits for its node, the node for its agents and workers, each for the GCS.
        "RAY_raylet_start_wait_time_s": str(max(30, seconds)),
        "RAY_gcs_server_port_wait_time_s": str(max(30, seconds)),
        "RAY_gcs_rpc_server_connect_timeout_s": str(max(5, seconds)),
        "RAY_py_gcs_connect_timeout_s": str(max(30, seconds)),
        "RAY_agent_register_timeout_ms": str(max(100, seconds) * 1000),
        "RAY_worker_register_timeout_seconds": str(max(60, seconds)),
        # Serve waits for its proxy, and the proxy for HAProxy.
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": str(max(5, seconds)),
        "RAY_SERVE_HAPROXY_STARTUP_TIMEOUT_S": str(max(30, seconds)),
    }
