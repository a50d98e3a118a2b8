"""Signal handling of long runs, so that an interrupted run still reports its results."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Exit code of a command that a signal ended is 128 + signal, as in shells.
_EXIT_BASE = 128


class Interrupted(BaseException):
    """A signal was received; a BaseException, like KeyboardInterrupt."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.name = signal.Signals(number).name
        self.exit_code = _EXIT_BASE + number


@contextmanager
def interruptible() -> Iterator[None]:
    """Context manager: SIGINT, SIGTERM and SIGHUP raise Interrupted; a second one ends the process.

    A signal that the process ignores stays ignored, for example under `nohup`.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Python delivers signals to the main thread only
        return
    before = {each: signal.getsignal(each) for each in _ENDING}
    ours = [each for each, handler in before.items() if handler is not signal.SIG_IGN]

    def interrupt(number: int, frame: FrameType | None) -> None:
        del frame
        for each in ours:
            signal.signal(each, signal.SIG_DFL)
        raise Interrupted(number)

    for each in ours:
        signal.signal(each, interrupt)
    try:
        yield
    finally:
        for each in ours:
            signal.signal(each, before[each])
