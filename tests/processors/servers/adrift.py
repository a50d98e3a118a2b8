"""Fork server whose children misbehave after their first image, in the way that ORDER names.

`lie`: the child refuses each further image. `short`: each further image finds no memory. `crash`:
the second image ends the child. `burn`: the child goes on working after its answer. `keep`: the
child holds memory that it no longer needs.
"""

import ctypes
import os
import socket

from processors import pipeline
from processors.errors import DecoderMemory, NotAnImage
from processors.job import Processed
from processors.preset import Preset
from processors.sandbox import decoder_main, fork_server
from processors.settings import Limits

ORDER = "PIXLAKE_TEST_ADRIFT"
KEPT_BYTES = 400_000_000

_process, _send = pipeline.process, decoder_main._send
_kept: list[bytes] = []
_served: list[int] = []


def adrift(data: bytes, preset: Preset, limits: Limits) -> Processed:
    """Replacement of `process` that follows ORDER."""
    order = os.environ[ORDER]
    _served.append(len(data))
    if len(_served) > 1 and order == "lie":
        raise NotAnImage("so says a child that is not itself any more")
    if len(_served) > 1 and order == "short":
        raise DecoderMemory("what came before has taken it")
    if len(_served) > 1 and order == "crash":
        ctypes.string_at(0)
    if order == "keep":
        _kept.append(b"k" * KEPT_BYTES)
    return _process(data, preset, limits)


def send_and_burn(parent: socket.socket, processed: Processed, nonce: str) -> None:
    """Replacement of `_send` that never returns if ORDER is `burn`."""
    _send(parent, processed, nonce)
    while os.environ[ORDER] == "burn":
        pass


if __name__ == "__main__":
    decoder_main.process = adrift  # type: ignore[attr-defined]
    decoder_main._send = send_and_burn
    fork_server.main()
