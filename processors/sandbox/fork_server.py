"""Fork server: imports all libraries, then forks children on request.

`fork_server_client` starts it as `python -m processors.sandbox.fork_server <socket> <parent>` with
an environment without secrets, so its memory and the memory of its children contain no secret. The
server never reads an image, has one thread, and handles one message: fork a child with these four
descriptors.

The server writes the child's process id to its end of `life`, and later the exit code. When the
parent closes the other end, the server kills the child if it is alive, and releases the process id.
Until then no other process can get that id, so the parent can safely kill the child by the id.
"""

import gc
import os
import select
import signal
import socket
import sys
import traceback
from dataclasses import dataclass
from mmap import PROT_READ, mmap
from typing import NoReturn

from processors.sandbox.cleared_memory import clear_memory
from processors.sandbox.decoder_main import DecoderMain, die_with
from processors.sandbox.protocol import MAX_HEADER_BYTES, NUMBER, Start
from processors.sandbox.warm_up import warm_up

_STDERR = 2
_FIRST_TO_CLOSE = 3
_DESCRIPTORS = 4
# Children use whole cores. The event loops that feed them and answer clients need a core for
# moments only and get priority.
_NICENESS = 5


@dataclass(frozen=True, slots=True)
class _Child:
    pid: int
    life: socket.socket
    pidfd: int


class ForkServer:
    """Forks children on request, and reports their ends."""

    def __init__(self, control: socket.socket, main: type[DecoderMain] = DecoderMain) -> None:
        self._control = control
        self._main = main
        self._poll = select.poll()
        self._children: dict[int, _Child] = {}
        self._open = True

    def run(self) -> None:
        """Serve until the parent closes the control socket and the last child has ended."""
        self._poll.register(self._control, select.POLLIN)
        while self._open or self._children:
            for descriptor, _ in self._poll.poll():
                if descriptor == self._control.fileno():
                    self._take_order()
                elif child := self._children.get(descriptor):
                    self._attend(child, descriptor)

    def _take_order(self) -> None:
        text, descriptors, _, _ = socket.recv_fds(self._control, MAX_HEADER_BYTES, _DESCRIPTORS)
        if text:
            self._fork(Start.model_validate_json(text), descriptors)
        else:
            self._poll.unregister(self._control)
            self._open = False

    def _fork(self, start: Start, descriptors: list[int]) -> None:
        """Fork a child, if the machine has enough processes and files.

        Otherwise its parent gets the end of file on `life`; other children are not affected.
        """
        child = _forked(self._main, start, descriptors)
        if child is None:
            return
        for descriptor in (child.life.fileno(), child.pidfd):
            self._children[descriptor] = child
            self._poll.register(descriptor, select.POLLIN)
        _tell(child, child.pid)

    def _attend(self, child: _Child, descriptor: int) -> None:
        if descriptor == child.pidfd:
            self._forget(child.pidfd)
            _tell(child, _ending(child.pid))
        else:
            self._bury(child)

    def _bury(self, child: _Child) -> None:
        """Kill a child whose parent closed `life`, and release its process id."""
        os.kill(child.pid, signal.SIGKILL)
        os.waitpid(child.pid, 0)
        self._forget(child.pidfd)
        self._forget(child.life.fileno())
        os.close(child.pidfd)
        child.life.close()

    def _forget(self, descriptor: int) -> None:
        if self._children.pop(descriptor, None):
            self._poll.unregister(descriptor)


def _forked(main: type[DecoderMain], start: Start, descriptors: list[int]) -> _Child | None:
    """Fork a child that owns the descriptors; None after a shortage of processes or files."""
    if len(descriptors) < _DESCRIPTORS:  # the process was short of file descriptors
        _close(descriptors)
        return None
    *passed, life = descriptors
    server = os.getpid()
    try:
        pid = os.fork()
    except OSError:
        traceback.print_exc()
        _close(descriptors)
        return None
    if pid == 0:
        _be_a_child(server, main, start, passed)
    _close(passed)
    try:
        return _Child(pid, socket.socket(fileno=life), os.pidfd_open(pid))
    except OSError:
        traceback.print_exc()
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return None  # `life` is closed with its socket


def _close(descriptors: list[int]) -> None:
    for each in descriptors:
        os.close(each)


def _ending(pid: int) -> int:
    """Exit code, or minus the signal; keeps the process id reserved."""
    ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    if ended is None:
        raise ChildProcessError(pid)
    return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status


def _tell(child: _Child, number: int) -> None:
    try:
        child.life.sendall(NUMBER.pack(number))
    except OSError:
        return  # the parent closed the socket; `poll` reports that later


def _be_a_child(server: int, main: type[DecoderMain], start: Start, passed: list[int]) -> NoReturn:
    """Run the child until its end; never returns, because the caller is code of the server."""
    conversation, stderr, memory = passed
    code = 1
    try:
        die_with(server)
        os.setsid()
        os.nice(_NICENESS)
        os.dup2(stderr, _STDERR)
        shared = mmap(memory, start.shared_bytes, prot=PROT_READ)
        os.closerange(_FIRST_TO_CLOSE, conversation)
        os.closerange(conversation + 1, os.sysconf("SC_OPEN_MAX"))
        main(socket.socket(fileno=conversation), shared, start).serve()
        code = 0
    except BaseException:  # noqa: BLE001 - the parent reads the traceback on standard error
        traceback.print_exc()
    finally:
        os._exit(code)


def main(decoder_main: type[DecoderMain] = DecoderMain) -> None:
    """Warm up, then serve on the socket whose number is the first argument."""
    die_with(int(sys.argv[2]))
    clear_memory()
    warm_up()
    # Freeze existing objects; a garbage collection in a child would copy all of their pages.
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as control:
        ForkServer(control, decoder_main).run()


if __name__ == "__main__":
    main()
