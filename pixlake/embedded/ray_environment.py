"""Environment variables for Ray on this machine, which Ray reads when it is imported."""

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
    """Build the variables for the process that starts Ray, which all Ray processes inherit.

    `host` and `port` are the API's, which answers an upload within `answer_seconds` and waits
    `idle_seconds` for a client; for `address_connections` see `write_launcher`. All start-up
    time-outs of Ray are at least `start_seconds`.

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
        # Access to the cluster needs this run's token, because it allows to run code. So other
        # users of the machine have no access.
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        # Despite its name, 0 makes a node listen on 127.0.0.1, on every system.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ROTATION_MAX_BYTES": "20000000",
        "RAY_ROTATION_BACKUP_COUNT": "1",
        # By default Ray's workers have a low CPU priority; here they are the service.
        "RAY_worker_niceness": "0",
        # Prestarted workers are useless, because the replicas need workers with a set-up hook.
        "RAY_enable_worker_prestart": "0",
        "RAY_prestart_worker_first_driver": "0",
        # Ray's log files are not printed here, so Ray need not look for new ones often.
        "LOG_NAME_UPDATE_INTERVAL_S": "60",
        # The default is five times as frequent and takes 2 % of a core. A dead replica is replaced
        # half a second later.
        "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",
        # HAProxy in front of the replicas' HTTP servers is ten times as fast as Serve's proxy.
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        # Calls between deployments pass images by reference; gRPC would copy them, up to 4 MiB.
        "RAY_SERVE_USE_GRPC_BY_DEFAULT": "0",
        # No log buffer, because the last lines before a crash are the important ones.
        "RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1",
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "serve_app.edge:middlewares",
        "RAY_SERVE_CONTROLLER_CALLBACK_IMPORT_PATH": "serve_app.controller:prepare",
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(launcher),
        "RAY_SERVE_HAPROXY_NBTHREAD": "2",
        # Own paths for this run; by default all clusters of a machine share one folder. Ray adds
        # the 56 digits of the node's id to these paths, so the names must be short.
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
        # Without this, two servers could share a port and its requests without an error.
        "SERVE_SOCKET_REUSE_PORT_ENABLED": "0",
        # There is no load balancer in front of one node, so draining need not wait for it.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0",
        "RAY_SERVE_PROXY_MIN_DRAINING_PERIOD_S": "0.1",
        "RAY_SERVE_HAPROXY_HEALTH_CHECK_INTER": "1s",
    }


def _patience(seconds: int) -> dict[str, str]:
    """Start-up time-outs of Ray by variable, at least Ray's own defaults.

    Ray's defaults suit an idle machine. One time-out is a constant; `app.py` changes it.
    """
    return {
        # Waits of the driver for its node, of the node for agents and workers, and of all for GCS.
        "RAY_raylet_start_wait_time_s": str(max(30, seconds)),
        "RAY_gcs_server_port_wait_time_s": str(max(30, seconds)),
        "RAY_gcs_rpc_server_connect_timeout_s": str(max(5, seconds)),
        "RAY_py_gcs_connect_timeout_s": str(max(30, seconds)),
        "RAY_agent_register_timeout_ms": str(max(100, seconds) * 1000),
        "RAY_worker_register_timeout_seconds": str(max(60, seconds)),
        # Waits of Serve for its proxy, and of the proxy for HAProxy.
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": str(max(5, seconds)),
        "RAY_SERVE_HAPROXY_STARTUP_TIMEOUT_S": str(max(30, seconds)),
    }
