"""A fork server whose children go wrong after their first image, in the way that ORDER says.

`lie`: each further image is refused. `short`: each further one finds no memory. `crash`: the second
one ends the child. `burn`: the child goes on working after its answer. `keep`: it holds memory that
it needs no more.
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
    """In place of `process`."""
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
    """In place of `_send`."""
    _send(parent, processed, nonce)
    while os.environ[ORDER] == "burn":
        pass


if __name__ == "__main__":
    decoder_main.process = adrift  # type: ignore[attr-defined]
    decoder_main._send = send_and_burn
    fork_server.main()
