"""Set-up hook of Ray worker processes: binds their gRPC servers to 127.0.0.1.

Each Serve replica opens a gRPC server for calls between deployments on every interface. Pixlake
does not use this server (calls go through Ray itself, images by reference), and Ray has no setting
for its address. All other servers of Ray listen on 127.0.0.1 by settings, see `ray_environment.py`.
"""

from typing import Any

HOOK = "serve_app.ray_surface.loopback.narrow"
"""Value of Ray's `worker_process_setup_hook`."""


def narrow() -> None:
    """Bind the gRPC servers of this process to 127.0.0.1; replaces a function inside Ray."""
    from ray._common import tls_utils  # noqa: PLC0415  Ray imports this module first

    bind = tls_utils.add_port_to_grpc_server

    def bind_loopback(server: Any, address: str) -> Any:
        return bind(server, address.replace("[::]:", "127.0.0.1:"))  # type: ignore[no-untyped-call]

    tls_utils.add_port_to_grpc_server = bind_loopback
