"""Command line of `ray start` for a node."""

import sys

from node.environment import AGENT_PORTS, METRICS_PORT
from node.settings import Kind, NodeSettings


def ray_start(settings: NodeSettings, kind: Kind, address: str, password: str | None) -> list[str]:
    """Build the command; it stays in the foreground, and on SIGTERM drains and stops the node."""
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
        # Replicas are placed by this label, because the rights of a node depend on its kind.
        f"--labels=kind={kind}",
    ]
    if head:
        command += [
            "--head",
            # The head only schedules; replicas on the head could starve the scheduler.
            "--num-cpus=0",
            f"--port={settings.head_port}",
            f"--dashboard-host={address}",
            f"--dashboard-port={settings.dashboard_port}",
        ]
        # Ray has no other way to pass the password. A process that can read this command line can
        # also read the environment.
        command += [f"--redis-password={password}"] if password else []
    else:
        command += [
            f"--address={settings.head}:{settings.head_port}",
            f"--num-cpus={settings.cpus}",
        ]
    return command
