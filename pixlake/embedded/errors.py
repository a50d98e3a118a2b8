"""What can go wrong with an embedded server.

* EmbeddedError
  x PortTaken        another program listens there
  x JarsUnavailable  the broker's jars could not be had, or are not the locked ones
  x BrokerFailed     the broker ended, or is not ready in time
"""

from pathlib import Path


class EmbeddedError(Exception):
    """An embedded server cannot run; the message tells a person what to do."""


class PortTaken(EmbeddedError):
    """Another program listens on the port."""

    def __init__(self, port: int, setting: str) -> None:
        super().__init__(port, setting)
        self.port = port
        self.setting = setting

    def __str__(self) -> str:
        return f"port {self.port} is taken; choose another with {self.setting}"


class JarsUnavailable(EmbeddedError):
    """The broker's jars could not be had, or differ from the lock."""


class BrokerFailed(EmbeddedError):
    """The broker ended or did not become ready; `log` says why."""

    def __init__(self, reason: str, log: Path) -> None:
        super().__init__(reason, log)
        self.reason = reason
        self.log = log

    def __str__(self) -> str:
        return f"Kafka broker: {self.reason}; see {self.log}"
