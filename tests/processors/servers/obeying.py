"""Fork server whose children do what the image orders, as a decoder that was taken over.

Everything else is real: fork server, filter, limits, sockets. An image is a good JPEG, `MARK`, and
JSON `{"order": name, ...}`. An image without an order is processed as usual.
"""

import ctypes
import errno
import json
import mmap as mmap_module
import platform
import socket
import threading
import time
from collections.abc import Callable
from mmap import mmap
from typing import Any

import numpy as np

from processors.pipeline import process
from processors.preset import Preset
from processors.sandbox import fork_server
from processors.sandbox.decoder_main import DecoderMain
from processors.sandbox.protocol import LENGTH, Answer, Refusal, Request, answer_of, framed

MARK = b"--order--"
_CHUNK = bytes(1 << 20)
_shared: list[mmap] = []

Order = dict[str, Any]
Say = Callable[[bytes], None]


def order(name: str, **said: object) -> bytes:
    """Encode an order for the child, to append to the bytes of an image."""
    return MARK + json.dumps({"order": name, **said}).encode()


def announce(parent: socket.socket, answer: Answer, _: list[bytes], said: Order) -> None:
    """Announce renditions of the ordered sizes; send nothing more."""
    parent.sendall(framed(_changed(answer, said)))
    parent.recv(1)  # blocks: the parent sends nothing more


def flood(parent: socket.socket, answer: Answer, _: list[bytes], said: Order) -> None:
    """Announce renditions, then send bytes for ever, as fast as the parent reads."""
    parent.sendall(framed(_changed(answer, said)))
    while True:
        parent.sendall(_CHUNK)


def doze(_: socket.socket, __: Answer, ___: list[bytes], ____: Order) -> None:
    """Sleep for a moment again and again, and use hardly any processor time."""
    lock = threading.Lock()
    lock.acquire()
    while True:
        lock.acquire(timeout=0.02)


def drip(parent: socket.socket, answer: Answer, _: list[bytes], said: Order) -> None:
    """Announce a rendition and send its bytes one by one, 0.1 s apart."""
    parent.sendall(framed(_changed(answer, said)))
    lock = threading.Lock()
    lock.acquire()
    while True:
        parent.send(_CHUNK[:1])
        lock.acquire(timeout=0.1)


def early(parent: socket.socket, answer: Answer, blobs: list[bytes], said: Order) -> None:
    """Answer correctly, and a moment later once more, ahead of the next request."""
    parent.sendall(framed(answer) + b"".join(blobs))
    ends = time.monotonic() + said["seconds"]
    while time.monotonic() < ends:
        continue  # the filter forbids sleep
    parent.sendall(framed(answer.model_copy(update={"width": 777})) + b"".join(blobs))


def say(parent: socket.socket, answer: Answer, _: list[bytes], said: Order) -> None:
    """Send the reply that the order contains."""
    text = json.dumps(said["reply"] | {"nonce": answer.nonce}).encode()
    parent.sendall(LENGTH.pack(len(text)) + text)


def html(parent: socket.socket, answer: Answer, blobs: list[bytes], _: Order) -> None:
    """Send HTML pages in place of renditions."""
    pages = [b"<script>alert(1)</script>".ljust(len(blob)) for blob in blobs]
    parent.sendall(framed(answer) + b"".join(pages))


def call(parent: socket.socket, answer: Answer, _: list[bytes], said: Order) -> None:
    """Make a system call, and report its result."""
    number = said["numbers"][platform.machine()]
    libc = ctypes.CDLL(None, use_errno=True)
    failed = libc.syscall(number, *map(ctypes.c_long, said.get("arguments", ()))) < 0
    _reply(parent, answer, errno.errorcode[ctypes.get_errno()] if failed else "done")


def unlock(parent: socket.socket, answer: Answer, _: list[bytes], __: Order) -> None:
    """Try to make the shared memory writable, and report the result."""
    address = np.frombuffer(_shared[0], np.uint8).ctypes.data
    libc = ctypes.CDLL(None, use_errno=True)
    start = ctypes.c_void_p(address & -mmap_module.PAGESIZE)
    done = libc.mprotect(
        start, mmap_module.PAGESIZE, mmap_module.PROT_READ | mmap_module.PROT_WRITE
    )
    _reply(parent, answer, "done" if done == 0 else errno.errorcode[ctypes.get_errno()])


def thread(parent: socket.socket, answer: Answer, _: list[bytes], __: Order) -> None:
    """Try to start a thread, and report the result."""
    try:
        threading.Thread(target=bytes).start()
    except RuntimeError:
        _reply(parent, answer, "refused")
    else:
        _reply(parent, answer, "done")


def late(parent: socket.socket, answer: Answer, blobs: list[bytes], said: Order) -> None:
    """Answer correctly, and then make a system call."""
    parent.sendall(framed(answer) + b"".join(blobs))
    ctypes.CDLL(None).syscall(said["numbers"][platform.machine()], 0, 0, 0)


def _reply(parent: socket.socket, answer: Answer, message: str) -> None:
    parent.sendall(framed(Refusal(nonce=answer.nonce, code="truncated", detail=message)))


def _changed(answer: Answer, said: Order) -> Answer:
    made = [each.model_copy(update=said["made"]) for each in answer.renditions]
    return answer.model_copy(update={**said.get("answer", {}), "renditions": tuple(made)})


_ORDERS = {
    each.__name__: each
    for each in (announce, flood, doze, drip, early, say, html, call, unlock, thread, late)
}


class Obeying(DecoderMain):
    """Child that carries out the orders of its images."""

    def answer(self, request: Request) -> bool:
        """Carry out the order of the image; process an image without an order."""
        _shared[:] = [self.memory]
        image, mark, text = self.memory[: request.size].partition(MARK)
        if not mark:
            return super().answer(request)
        said: Order = json.loads(text)
        processed = process(image, Preset.model_validate_json(request.preset), self.start.limits)
        answer = answer_of(processed, request.nonce)
        blobs = [bytes(each.data) for each in processed.renditions]
        _ORDERS[said["order"]](self.parent, answer, blobs, said)
        return True


if __name__ == "__main__":
    fork_server.main(Obeying)
