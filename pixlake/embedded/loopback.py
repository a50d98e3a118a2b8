"""Runs first in each Ray worker process: what listens there, listens on 127.0.0.1.

Each Serve replica opens a gRPC server for calls between deployments on every interface. We do not
use it (calls go through Ray itself, images by reference), and Ray has no setting for its address.
Everything else of Ray keeps to 127.0.0.1 by settings, see `ray_environment.py`.
"""

from typing import Any

HOOK = "pixlake.embedded.loopback.narrow"
"""For Ray's `worker_process_setup_hook`."""


def narrow() -> None:
    """Bind the gRPC servers of this process to 127.0.0.1; replaces a function inside Ray."""
    from ray._common import tls_utils  # noqa: PLC0415  Ray imports this module first

    bind = tls_utils.add_port_to_grpc_server

    def bind_loopback(server: Any, address: str) -> Any:
        return bind(server, address.replace("[::]:", "127.0.0.1:"))  # type: ignore[no-untyped-call]

    tls_utils.add_port_to_grpc_server = bind_loopback
