"""A VPC on one machine: network namespaces as hosts, on one bridge, with hosts files for names.

Needs root and a kernel with namespaces. The names are in /etc/netns/<host>/hosts, which
`ip netns exec` mounts over /etc/hosts. The next look-up sees a change, as in Cloud Map.
"""

import fcntl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Self

BRIDGE = "pxrehearsal"
PREFIX = "10.77.41"
GATEWAY = f"{PREFIX}.1"
# Each server has an address of its own on the bridge, so that a host can be cut off from one.
STORE, KAFKA, DATABASE = f"{PREFIX}.2", f"{PREFIX}.3", f"{PREFIX}.4"
# Address of no host: the bridge drops what is sent to it.
_NOWHERE = "02:00:00:00:00:01"
_BRIDGE_ADDRESS = "02:00:00:00:00:02"
_LINKS = "px-"
_NETNS = Path("/etc/netns")
# Held while the network exists: a second run would remove the first one's devices as left over.
_LOCK = Path("/run/lock/pixlake-rehearsal")


class Network:
    """Network that exists during a `with`; also removes what a killed run left."""

    def __init__(self) -> None:
        self._hosts: dict[str, str] = {}
        self.names: dict[str, str] = {}
        self._lock: IO[str]

    def __enter__(self) -> Self:
        self._lock = _alone()
        self._clear()
        # Without an address of its own, a bridge takes the lowest one of its ports. When that port
        # is removed, hosts would send to the old address for half a minute.
        _ip("link", "add", BRIDGE, "address", _BRIDGE_ADDRESS, "type", "bridge")
        for address in (GATEWAY, STORE, KAFKA, DATABASE):
            _ip("addr", "add", f"{address}/24", "dev", BRIDGE)
        _ip("link", "set", BRIDGE, "up")
        return self

    def __exit__(self, *_: object) -> None:
        self._clear()
        self._lock.close()

    def add(self, host: str, number: int) -> str:
        """Add a namespace that reaches only the bridge; return its address."""
        space, link, address = f"{BRIDGE}-{host}", _link(host), f"{PREFIX}.{number}"
        (_NETNS / space).mkdir(parents=True, exist_ok=True)
        self._hosts[host] = space
        self._write(space)
        _ip("netns", "add", space)
        _ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", space)
        _ip("link", "set", link, "master", BRIDGE, "up")
        for command in (
            ["link", "set", "lo", "up"],
            ["addr", "add", f"{address}/24", "dev", "eth0"],
            ["link", "set", "eth0", "up"],
            ["route", "add", "default", "via", GATEWAY],
        ):
            _ip("-n", space, *command)
        return address

    def remove(self, host: str) -> None:
        """Remove the host's network, as happens after the end of its task."""
        space = self._hosts.pop(host)
        # The kernel would remove the link only after the last connection of the namespace.
        _ip("link", "del", _link(host))
        _ip("netns", "del", space)
        (_NETNS / space / "hosts").unlink()
        (_NETNS / space).rmdir()

    def name(self, name: str, address: str | None) -> None:
        """Set the address of a name for all hosts; None removes the name."""
        if address is None:
            self.names.pop(name, None)
        else:
            self.names[name] = address
        for space in self._hosts.values():
            self._write(space)

    @contextmanager
    def cut(self, host: str, address: str) -> Iterator[None]:
        """Cut a host off from an address during a `with`: packets vanish, nothing is reset."""
        where = ("-n", self._hosts[host], "neigh")
        _ip(*where, "replace", address, "lladdr", _NOWHERE, "dev", "eth0", "nud", "permanent")
        try:
            yield
        finally:
            if host in self._hosts:
                _ip(*where, "del", address, "dev", "eth0")

    def command(self, host: str) -> list[str]:
        """First words of a command line that runs a command on this host."""
        return ["ip", "netns", "exec", self._hosts[host]]

    def _write(self, space: str) -> None:
        lines = ["127.0.0.1 localhost", *(f"{ip} {name}" for name, ip in self.names.items())]
        # Overwrite the file, because a new file of the same name would not be mounted.
        with (_NETNS / space / "hosts").open("w") as file:
            file.write("\n".join(lines) + "\n")

    def _clear(self) -> None:
        links = subprocess.run(
            ["ip", "-o", "link", "show", "type", "veth"], capture_output=True, text=True, check=True
        )
        for line in links.stdout.splitlines():
            name = line.split()[1].partition("@")[0]
            if name.startswith(_LINKS):
                _ip("link", "del", name)
        listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
        for line in listed.stdout.splitlines():
            space = line.split()[0]
            if space.startswith(f"{BRIDGE}-"):
                _ip("netns", "del", space)
        for folder in _NETNS.glob(f"{BRIDGE}-*"):
            (folder / "hosts").unlink(missing_ok=True)
            folder.rmdir()
        subprocess.run(["ip", "link", "del", BRIDGE], stderr=subprocess.DEVNULL, check=False)
        self._hosts.clear()


def _link(host: str) -> str:
    """Name of a host's link to the bridge; the kernel allows 15 characters."""
    return f"{_LINKS}{host}"[:15]


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def _alone() -> IO[str]:
    """Lock the network's names of this machine; raises RuntimeError while another run has them."""
    lock = _LOCK.open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise RuntimeError("another rehearsal is running on this machine") from None
    return lock
