"""What can go wrong with an embedded server.

* EmbeddedError
  x CannotStart      what would fail later is told before anything starts
      · PortTaken        another program listens there
      · PortUnusable     this process may not listen there
      · HomeUnusable     another user's, another version's, or not to be written
      · NoRoom           a disk, or the memory, has too little free
      · DatabaseUnusable the database of the accounts does not let us in
      · WrongClock       the clock is years off, or went back
  x JarsUnavailable  the broker's jars could not be had, or are not the locked ones
  x BrokerFailed     the broker ended, or is not ready in time
  x AlreadyRunning   another `pixlake up` has this home
  x UnsafeFolder     somebody else has the folder where our sockets would be
  x NoPorts          every port that we would use inside is taken
  x TooLittleMemory  what the settings allow is more than there is
  x StartFailed      Ray or an application on it did not start
"""

from pathlib import Path
from typing import ClassVar


class EmbeddedError(Exception):
    """An embedded server cannot run; the message tells a person what to do."""

    code: ClassVar[str] = "embedded_error"


class CannotStart(EmbeddedError):
    """A start that would fail, told before it: what is wrong, which setting, what to do."""

    code = "cannot_start"


class PortTaken(CannotStart):
    """Another program listens on the port."""

    code = "port_taken"

    def __init__(self, port: int, setting: str, owner: str | None = None) -> None:
        super().__init__(port, setting, owner)
        self.port = port
        self.setting = setting
        self.owner = owner

    def __str__(self) -> str:
        by = f" by {self.owner}" if self.owner else ""
        return f"port {self.port} is taken{by}; choose another with {self.setting}"


class PortUnusable(CannotStart):
    """A port, or the address before it, that this process may not listen on."""

    code = "port_unusable"


class HomeUnusable(CannotStart):
    """The home is another user's, another version's, or no folder that can be written."""

    code = "home_unusable"


class NoRoom(CannotStart):
    """A disk, or the memory, has less free than a start takes."""

    code = "no_room"


class DatabaseUnusable(CannotStart):
    """The database of the accounts does not let us in."""

    code = "database_unusable"


class WrongClock(CannotStart):
    """The clock of this machine is years off, or went back since the last start."""

    code = "wrong_clock"


class JarsUnavailable(EmbeddedError):
    """The broker's jars could not be had, or differ from the lock."""

    code = "jars_unavailable"


class BrokerFailed(EmbeddedError):
    """The broker ended or did not become ready; `log` says why."""

    code = "broker_failed"

    def __init__(self, reason: str, log: Path) -> None:
        super().__init__(reason, log)
        self.reason = reason
        self.log = log

    def __str__(self) -> str:
        return f"Kafka broker: {self.reason}; see {self.log}"


class AlreadyRunning(EmbeddedError):
    """Another `pixlake up` has this home."""

    code = "already_running"

    def __init__(self, home: Path, pid: str) -> None:
        super().__init__(home, pid)
        self.home = home
        self.pid = pid

    def __str__(self) -> str:
        return (
            f"Pixlake is already running on {self.home}, pid {self.pid}; "
            "for another one beside it set PIXLAKE_HOME, PIXLAKE_HTTP_PORT and PIXLAKE_KAFKA_PORT"
        )


class UnsafeFolder(EmbeddedError):
    """Somebody else has, or may change, the folder where our sockets would be."""

    code = "unsafe_folder"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.folder = folder

    def __str__(self) -> str:
        return (
            f"{self.folder} and {self.folder}.1 to .9 belong to another user, or others may open "
            "them; remove one of them"
        )


class NoPorts(EmbeddedError):
    """Every port that we would use inside is taken."""

    code = "no_ports"

    def __init__(self, first: int, last: int) -> None:
        super().__init__(first, last)
        self.first = first
        self.last = last

    def __str__(self) -> str:
        return f"no free ports from {self.first} to {self.last} for Pixlake's own processes"


class TooLittleMemory(EmbeddedError):
    """What the settings allow, all at once, is more than there is; sizes in bytes."""

    code = "too_little_memory"

    def __init__(self, needed: int, limit: int, parts: str) -> None:
        super().__init__(needed, limit, parts)
        self.needed = needed
        self.limit = limit
        self.parts = parts

    def __str__(self) -> str:
        return (
            f"the settings allow {_giga(self.needed)} of memory to be taken at once, and there are "
            f"{_giga(self.limit)} (PIXLAKE_MEMORY_BYTES):\n{self.parts}\nLower one of them, or say "
            "with PIXLAKE_MEMORY_BYTES how much there really is"
        )


def _giga(size: int) -> str:
    return f"{size / 1e9:.1f} GB"


class StartFailed(EmbeddedError):
    """Ray or an application on it did not start; `log` says why."""

    code = "start_failed"

    def __init__(self, reason: str, log: Path) -> None:
        super().__init__(reason, log)
        self.reason = reason
        self.log = log

    def __str__(self) -> str:
        return f"{self.reason}; see {self.log}"
