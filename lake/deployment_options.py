"""Options of a Ray Serve deployment: the same on one machine and on the nodes of a cluster.

Only the number of replicas and their CPUs differ: `pixlake_server/embedded/app.py` and
`deploy/ecs/image/node/config.py` set them.
"""

from typing import Any

# Serve notices a killed replica after one period, and needs a few seconds to start another.
_HEALTH_PERIOD_SECONDS = 2.0
# Interval between checks whether a replica that stops has running calls.
_POLL_SECONDS = 0.2


def deployment_options(name: str, *, calls: int, drain_seconds: float) -> dict[str, Any]:
    """Build the arguments of `serve.deployment` for the deployment `name`.

    A replica accepts `calls` concurrent calls, and each caller queues as many. A replica that stops
    has `drain_seconds` to finish its running calls.
    """
    return {
        "name": name,
        "max_ongoing_requests": calls,
        "max_queued_requests": calls,
        "health_check_period_s": _HEALTH_PERIOD_SECONDS,
        "graceful_shutdown_timeout_s": drain_seconds,
        "graceful_shutdown_wait_loop_s": _POLL_SECONDS,
    }
