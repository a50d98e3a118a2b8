"""Ports of this machine: finds free ones, and checks whether a port can be used."""

import errno
import random
import socket
from collections.abc import Mapping
from ipaddress import ip_address
from itertools import islice
from pathlib import Path

import psutil

from pixlake_server.embedded.errors import NoPorts, PortTaken, PortUnusable

_LOOPBACK = "127.0.0.1"
# Below the kernel's ports for outgoing connections (from 32768), because a connection can take a
# port before a server listens on it. Also below the blocks of port_block.py (from 21000).
_FREE = range(12_000, 21_000)
_FIRST_UNPRIVILEGED = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")


def free_port() -> int:
    """Find a free port. The port is not reserved, so bind it soon and handle a failure."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Find free ports that all differ; a later search may find them again. Raises NoPorts."""
    tried = random.sample(_FREE, len(_FREE))
    found = list(islice((port for port in tried if not is_taken(port)), count))
    if len(found) < count:
        raise NoPorts(_FREE[0], _FREE[-1])
    return found


def is_taken(port: int) -> bool:
    """True if a process can't listen on `port`."""
    return _refusal(_LOOPBACK, port) is not None


def check_ports(wanted: Mapping[str, tuple[str, int]]) -> None:
    """Check the address and port of each setting; raises PortTaken, PortUnusable."""
    seen: dict[int, str] = {}
    for setting, (host, port) in wanted.items():
        if (other := seen.setdefault(port, setting)) != setting:
            raise PortUnusable(f"{other} and {setting} are both {port}; choose different ports")
        fault = _refusal(host, port)
        if fault is not None:
            raise _explained(fault, setting, host, port)


def _refusal(host: str, port: int) -> OSError | None:
    """Try to listen on a port; returns the error, or None if the port is usable."""
    family = socket.AF_INET6 if ip_address(host).version == 6 else socket.AF_INET  # noqa: PLR2004
    with socket.socket(family) as probe:
        # Servers set this option, too. Connections of the last run in TIME_WAIT block no port then.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error
        return None


def _explained(fault: OSError, setting: str, host: str, port: int) -> PortTaken | PortUnusable:
    if fault.errno == errno.EADDRINUSE:
        return PortTaken(port, setting, _listener(port))
    if fault.errno == errno.EACCES:
        return PortUnusable(
            f"port {port} needs root, as all ports below {_first_unprivileged()} do; "
            f"choose a higher port with {setting}"
        )
    if fault.errno == errno.EADDRNOTAVAIL:
        return PortUnusable(
            f"this machine has no address {host}; set PIXLAKE_HTTP_HOST to 127.0.0.1, or to "
            "0.0.0.0 for all of its addresses"
        )
    return PortUnusable(f"port {port} at {host}: {fault.strerror}; see {setting}")


def _first_unprivileged() -> str:
    try:
        return _FIRST_UNPRIVILEGED.read_text().strip()
    except OSError:
        return "1024"


def _listener(port: int) -> str | None:
    """Return name and process id of the program that listens on `port`, if this user may see it."""
    try:
        for one in psutil.net_connections("tcp"):
            if one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.port == port:
                if one.pid is None:
                    return "a program of another user"
                return f"{psutil.Process(one.pid).name()} (pid {one.pid})"
    except psutil.Error:
        return None
    return None
