"""Environment variables of Ray and Serve that one machine and the nodes of a cluster share."""

from pathlib import Path
from typing import Final

RAY_SERVE_ENV: Final = {
    # Access to the cluster allows to run code. It needs the cluster's token.
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ROTATION_MAX_BYTES": "20000000",
    "RAY_ROTATION_BACKUP_COUNT": "1",
    # Ray gives its workers a low CPU priority by default, but here the workers are the service.
    "RAY_worker_niceness": "0",
    # HAProxy in front of the replicas' HTTP servers is ten times as fast as Serve's proxy.
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    # Calls between deployments pass images by reference; gRPC would copy images up to 4 MiB.
    "RAY_SERVE_USE_GRPC_BY_DEFAULT": "0",
    # No log buffer: the last lines before a crash are the most important lines.
    "RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1",
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "serve_app.ray_surface.replica:prepare",
    "RAY_SERVE_CONTROLLER_CALLBACK_IMPORT_PATH": "serve_app.ray_surface.controller:prepare",
    "RAY_SERVE_HAPROXY_NBTHREAD": "2",
    # With port reuse, two servers could share a port and its requests without an error.
    "SERVE_SOCKET_REUSE_PORT_ENABLED": "0",
}
"""variables with the same value everywhere"""


def haproxy_environment(folder: Path, launcher: Path, replicas: tuple[int, int]) -> dict[str, str]:
    """Build the variables of HAProxy's files and of the replicas' first and last port.

    By default all clusters of a machine share one folder. Ray adds the 56 digits of the node's id
    to the paths of sockets, so the names must be short.
    """
    first, last = replicas
    return {
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(launcher),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "a"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "m"),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(first),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(last),
    }
