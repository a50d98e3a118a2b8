"""Environment variables for Ray on this machine, which Ray reads when it is imported."""

import math
import secrets
from pathlib import Path

from pixlake_server.embedded.haproxy import write_launcher
from pixlake_server.embedded.port_block import PortBlock
from serve_app.ray_surface.environment import RAY_SERVE_ENV, haproxy_environment
from serve_app.settings import ServeSettings

_OWNER_ONLY = 0o600


def ray_environment(
    folder: Path, ports: PortBlock, served: ServeSettings, *, start_seconds: float
) -> dict[str, str]:
    """Build the variables for the process that starts Ray; all Ray processes inherit them.

    All start-up time-outs of Ray are at least `start_seconds`. Writes the cluster's token and
    HAProxy's launcher into `folder`.
    """
    token = folder / "ray-token"
    token.touch(mode=_OWNER_ONLY)
    token.write_text(secrets.token_hex(32))
    return {
        **RAY_SERVE_ENV,
        **haproxy_environment(folder / "h", write_launcher(folder, served), ports.replicas),
        **_patience(math.ceil(start_seconds)),
        # The token is one of this run, so other users of the machine have no access.
        "RAY_AUTH_TOKEN_PATH": str(token),
        # Despite its name, 0 makes a node listen on 127.0.0.1, on every system.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        # Prestarted workers have no set-up hook, so replicas could not use them.
        "RAY_enable_worker_prestart": "0",
        "RAY_prestart_worker_first_driver": "0",
        # Ray's log files are not printed here, so Ray need not look for new log files often.
        "LOG_NAME_UPDATE_INTERVAL_S": "60",
        # Ray's default is five times as frequent and takes 2 % of a core. With this value a dead
        # replica is replaced up to half a second later.
        "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(ports.haproxy_metrics),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(ports.haproxy_stats),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(ports.fallback_proxy),
        # HAProxy is told within a second that a replica stops. One node has no load balancer.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
        "RAY_SERVE_PROXY_MIN_DRAINING_PERIOD_S": "0.1",
        "RAY_SERVE_HAPROXY_HEALTH_CHECK_INTER": "1s",
    }


def _patience(seconds: int) -> dict[str, str]:
    """Return Ray's start-up time-outs by variable, each at least Ray's own default.

    Ray's defaults suit an idle machine. One more time-out is a constant, which `app.py` changes.
    """
    return {
        # Time-outs: driver waits for node, node waits for agents and workers, all wait for GCS.
        "RAY_raylet_start_wait_time_s": str(max(30, seconds)),
        "RAY_gcs_server_port_wait_time_s": str(max(30, seconds)),
        "RAY_gcs_rpc_server_connect_timeout_s": str(max(5, seconds)),
        "RAY_py_gcs_connect_timeout_s": str(max(30, seconds)),
        "RAY_agent_register_timeout_ms": str(max(100, seconds) * 1000),
        "RAY_worker_register_timeout_seconds": str(max(60, seconds)),
        # Time-outs: Serve waits for its proxy, the proxy waits for HAProxy.
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": str(max(5, seconds)),
        "RAY_SERVE_HAPROXY_STARTUP_TIMEOUT_S": str(max(30, seconds)),
    }
