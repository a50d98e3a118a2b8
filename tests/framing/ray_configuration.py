"""Write the HAProxy file that Ray Serve would write for one replica.

Run `python -m tests.framing.ray_configuration FILE API_PORT REPLICA_PORT` in the environment of
`ray_environment`, because Ray reads its settings at import.
"""

import sys

from ray.serve._private.haproxy import BackendConfig, HAProxyApi, HAProxyConfig, ServerConfig
from ray.serve.config import HTTPOptions

from serve_app.ray_surface.haproxy import use_own_configuration


def write(file: str, api_port: int, replica_port: int) -> None:
    """Write the file as Ray's HAProxyManager does once it knows of a replica."""
    use_own_configuration()
    options = HTTPOptions(host="127.0.0.1", port=api_port)
    config = HAProxyConfig(
        http_options=options, has_received_routes=True, has_received_servers=True, is_head=True
    )
    server = ServerConfig(name="replica", host="127.0.0.1", port=replica_port)
    backend = BackendConfig(
        name="http-pixlake", path_prefix="/", servers=[server], app_name="pixlake"
    )
    HAProxyApi(config, {"pixlake": backend}, file)._generate_config_file_internal()


if __name__ == "__main__":
    write(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
