"""Errors of `pixlake up`.

* EmbeddedError
  x CannotStart      a check before the start failed
      · PortTaken        another program listens on the port
      · PortUnusable     this process may not listen on the port
      · HomeUnusable     the home belongs to another user or version, or is not writable
      · NoRoom           too little free disk or memory
      · DatabaseUnusable the accounts database is not accessible
      · PresetUnusable   the store does not have the default preset
      · WrongClock       the clock is years off, or was set back
  x JarsUnavailable  the broker's jars can't be downloaded, or differ from the lock
  x BrokerFailed     the broker ended, or is not ready in time
  x AlreadyRunning   another `pixlake up` uses this home
  x UnsafeFolder     another user can change the folder for sockets
  x NoPorts          all internal ports are in use
  x TooLittleMemory  the settings allow more memory than the machine has
  x StartFailed      Ray or an application on it did not start
"""

from pathlib import Path
from typing import ClassVar


class EmbeddedError(Exception):
    """Base class of errors of `pixlake up`; the message says what to do."""

    code: ClassVar[str] = "embedded_error"


class CannotStart(EmbeddedError):
    """A check before the start failed; the message names the setting and what to do."""

    code = "cannot_start"


class PortTaken(CannotStart):
    """Another program listens on the port."""

    code = "port_taken"

    def __init__(self, port: int, setting: str, owner: str | None = None) -> None:
        by = f" by {owner}" if owner else ""
        super().__init__(f"port {port} is taken{by}; choose another with {setting}")


class PortUnusable(CannotStart):
    """The process may not listen on the port or the address."""

    code = "port_unusable"


class HomeUnusable(CannotStart):
    """The home belongs to another user or version, or is not writable."""

    code = "home_unusable"


class NoRoom(CannotStart):
    """Too little free disk or memory for a start."""

    code = "no_room"


class DatabaseUnusable(CannotStart):
    """The accounts database is not accessible."""

    code = "database_unusable"


class PresetUnusable(CannotStart):
    """The store does not have the default preset."""

    code = "preset_unusable"


class WrongClock(CannotStart):
    """The clock of this machine is years off, or was set back since the last start."""

    code = "wrong_clock"


class JarsUnavailable(EmbeddedError):
    """The broker's jars can't be downloaded, or differ from the lock."""

    code = "jars_unavailable"


class BrokerFailed(EmbeddedError):
    """The broker ended or did not become ready; `log` says why."""

    code = "broker_failed"

    def __init__(self, reason: str, log: Path) -> None:
        super().__init__(f"Kafka broker: {reason}; see {log}")


class AlreadyRunning(EmbeddedError):
    """Home in use: another `pixlake up` runs there."""

    code = "already_running"

    def __init__(self, home: Path, pid: str) -> None:
        super().__init__(
            f"Pixlake is already running on {home}, pid {pid}; "
            "to start a second Pixlake set PIXLAKE_HOME, PIXLAKE_HTTP_PORT and PIXLAKE_KAFKA_PORT"
        )


class UnsafeFolder(EmbeddedError):
    """Another user owns, or can change, the folder for sockets."""

    code = "unsafe_folder"

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"{folder} and {folder}.1 to .9 belong to another user, or other users may "
            "open these folders; remove one of the ten folders"
        )


class NoPorts(EmbeddedError):
    """All internal ports are in use."""

    code = "no_ports"

    def __init__(self, first: int, last: int) -> None:
        super().__init__(f"no free ports from {first} to {last} for Pixlake's own processes")


class TooLittleMemory(EmbeddedError):
    """The settings together allow more memory than the machine has; sizes in bytes."""

    code = "too_little_memory"

    def __init__(self, needed: int, limit: int, parts: str) -> None:
        self.needed, self.limit = needed, limit
        super().__init__(
            f"the settings allow Pixlake to use {_giga(needed)} of memory, the limit is "
            f"{_giga(limit)} (PIXLAKE_MEMORY_BYTES):\n{parts}\nLower one of these "
            "settings, or set PIXLAKE_MEMORY_BYTES to the real size of the memory"
        )


def _giga(size: int) -> str:
    return f"{size / 1e9:.1f} GB"


class StartFailed(EmbeddedError):
    """Ray or an application on it did not start; `log` says why."""

    code = "start_failed"

    def __init__(self, reason: str, log: Path) -> None:
        super().__init__(f"{reason}; see {log}")
