"""The command line of `ray start` for a node."""

import sys

from node.environment import AGENT_PORTS, METRICS_PORT
from node.settings import Kind, NodeSettings


def ray_start(settings: NodeSettings, kind: Kind, address: str, password: str | None) -> list[str]:
    """It stays in the foreground: on SIGTERM it drains the node, then stops it."""
    head = kind == "head"
    command = [
        *([str(settings.ray)] if settings.ray else [sys.executable, "-m", "node.ray_command"]),
        "start",
        "--block",
        "--disable-usage-stats",
        f"--node-ip-address={address}",
        f"--temp-dir={settings.scratch / 'ray'}",
        f"--object-store-memory={settings.object_store_bytes}",
        f"--memory={settings.memory_bytes}",
        f"--metrics-export-port={METRICS_PORT}",
        *(f"--{name}={port}" for name, port in AGENT_PORTS.items()),
        # Where replicas may run: what a node may reach depends on its kind.
        f"--labels=kind={kind}",
    ]
    if head:
        command += [
            "--head",
            # Schedules, and carries no load that could starve it.
            "--num-cpus=0",
            f"--port={settings.head_port}",
            f"--dashboard-host={address}",
            f"--dashboard-port={settings.dashboard_port}",
        ]
        # Ray has no other way to be told; who can read it here can read our environment, too.
        command += [f"--redis-password={password}"] if password else []
    else:
        command += [
            f"--address={settings.head}:{settings.head_port}",
            f"--num-cpus={settings.cpus}",
        ]
    return command
