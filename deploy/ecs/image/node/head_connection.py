"""Connection of a node to its head: how long the head is silent, and whether other nodes reach it.

Ray notices a connection that is cut without a reset only after minutes. The head declares the node
dead after about a minute (`environment.DEAD_SECONDS`), and once the connection is back, the node
ends without a drain. So the entrypoint connects to the head every second, and asks other nodes. If
they reach the head, this node is cut off. If they do not, the head is gone, and a new head will
find its nodes.
"""

import http.client
import random
import re
import threading
import time
from http import HTTPStatus
from pathlib import Path
from typing import Final

from node import names
from node.settings import NodeSettings

PATH: Final = "/head"
"""path of the health server that says whether a node reaches the head"""
ANSWERS: Final = "the head answers"
"""text of the answer if the node reaches the head"""
_PERIOD_SECONDS = 1.0
_FRESH_SECONDS = 5.0
_ASK_SECONDS = 2.0
# Nodes that are asked in one round; a cell may have dozens.
_ASKED = 3
# Ray puts HAProxy's configuration into a folder with the node's id.
_CONFIGURATIONS = "haproxy/*/haproxy.cfg"
# A replica in that configuration. A replica of this node has a loopback address.
_SERVER = re.compile(
    r"^\s*server SERVE_REPLICA\S+ ((?!127\.0\.0\.1:)\d+\.\d+\.\d+\.\d+):\d+ ", re.MULTILINE
)


class HeadConnection:
    """Watch of the head, in a thread that ends with the process."""

    def __init__(self, settings: NodeSettings) -> None:
        self._settings = settings
        self._heard_at = time.monotonic()
        self.cut_off = False
        """whether the head was silent for `cut_off_seconds`, but not to another node"""

    def start(self) -> None:
        """Start to watch, when the node joins."""
        self._heard_at = time.monotonic()
        threading.Thread(target=self._watch, daemon=True, name="head").start()

    @property
    def silent_seconds(self) -> float:
        """Seconds since the head has last accepted a connection."""
        return time.monotonic() - self._heard_at

    def answers(self) -> bool:
        """True if the head has accepted a connection within the last seconds."""
        return self.silent_seconds < _FRESH_SECONDS

    def look(self) -> None:
        """Connect to the head once; if it is silent for long, ask other nodes."""
        if names.answers(self._settings.head, self._settings.head_port):
            self._heard_at = time.monotonic()
        elif self.silent_seconds >= self._settings.cut_off_seconds:
            others = _others(self._settings.scratch)
            asked = random.sample(others, min(_ASKED, len(others)))
            self.cut_off |= any(_reaches_head(one, self._settings.health_port) for one in asked)

    def _watch(self) -> None:
        while not self.cut_off:
            self.look()
            time.sleep(_PERIOD_SECONDS)


def _others(scratch: Path) -> list[str]:
    """Addresses of the other workers, from HAProxy's configuration, which needs no head."""
    texts = [_text(file) for file in scratch.glob(_CONFIGURATIONS)]
    return sorted({address for text in texts for address in _SERVER.findall(text)})


def _text(file: Path) -> str:
    """Text of a configuration; empty while Ray replaces the file, because the watch must go on."""
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""


def _reaches_head(address: str, port: int) -> bool:
    """Ask a node whether it reaches the head; False without an answer."""
    connection = http.client.HTTPConnection(address, port, timeout=_ASK_SECONDS)
    try:
        connection.request("GET", PATH)
        answer = connection.getresponse()
        return answer.status == HTTPStatus.OK and answer.read().decode().strip() == ANSWERS
    except (OSError, http.client.HTTPException, UnicodeDecodeError):
        return False
    finally:
        connection.close()
