"""Temporary state of one run: processes, sockets and lock, but no data."""

import fcntl
import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISDIR

import psutil

from pixlake_server.embedded.errors import AlreadyRunning, UnsafeFolder

MARK = "PIXLAKE_RUN"
"""Environment variable of every process of a run; its value is the home."""

LOCK = "lock"
"""Name of the lock file in the home; its modification time is that of the last start."""

_OWNER_ONLY = 0o700
_KILL_SECONDS = 5.0
# The path of a UNIX socket has at most 107 bytes, of which HAProxy needs 10. Ray needs 71 bytes
# below the folder of a run and HAProxy 60. So the folder is neither in the home nor in TMPDIR,
# whose paths may be long.
_ROOT = Path("/tmp")  # noqa: S108  the folder in it gets mode 0700, its owner is checked
# Alternative names, because any user can create a folder with the first name in /tmp.
_OTHER_NAMES = ("", *(f".{number}" for number in range(1, 10)))


def user_folder(root: Path = _ROOT) -> Path:
    """Create or find this user's folder for sockets and port locks. Raises UnsafeFolder.

    If another user has taken the name, one of nine other names is used.
    """
    names = [root / f"pixlake-{os.getuid()}{suffix}" for suffix in _OTHER_NAMES]
    for folder in names:
        with suppress(FileExistsError):
            folder.mkdir(mode=_OWNER_ONLY)
        found = folder.lstat()
        if S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077:
            return folder
    raise UnsafeFolder(names[0])


@contextmanager
def fresh_folder(home: Path, logs: Path) -> Iterator[Path]:
    """Create an empty folder with a short name for one run of this home; removes it at the end.

    Ray writes its logs into this folder. `logs` is a link to the logs during the run, and contains
    the logs after the run.
    """
    folder = _folder_of(home)
    shutil.rmtree(folder, ignore_errors=True)  # left by a run that was killed
    folder.mkdir(mode=_OWNER_ONLY)
    _remove(logs)
    logs.symlink_to(folder / "session_latest" / "logs")
    try:
        yield folder
    finally:
        if logs.is_dir():
            written = logs.resolve()
            _remove(logs)
            shutil.move(written, logs)
        shutil.rmtree(folder, ignore_errors=True)


def _folder_of(home: Path) -> Path:
    return user_folder() / hashlib.sha256(os.fsencode(home)).hexdigest()[:8]


def _remove(path: Path) -> None:
    if path.is_symlink():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


@contextmanager
def only_run(home: Path) -> Iterator[None]:
    """Hold the home's lock; the kernel releases it when the process ends. Raises AlreadyRunning."""
    with (home / LOCK).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise AlreadyRunning(home, lock.read().strip() or "unknown") from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def end_processes(home: Path) -> int:
    """Kill the remaining processes of runs of this home; returns their number.

    Call this only after a stop, or after a run that was killed: SIGKILL allows no clean end.
    """
    ended: dict[int, psutil.Process] = {}
    # Repeat, because a process may start another process before it is killed.
    while found := [one for one in _left(home) if one.pid not in ended]:
        for process in found:
            ended[process.pid] = process
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
    psutil.wait_procs(list(ended.values()), timeout=_KILL_SECONDS)
    return len(ended)


def _left(home: Path) -> Iterator[psutil.Process]:
    """Yield processes with the home's mark, and Ray's agents, whose titles overwrite the mark."""
    ours = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    mark = os.fsencode(f"{MARK}={home}")
    folder = _folder_of(home)
    for process in psutil.process_iter():
        if process.pid not in ours and (
            mark in _environment(process) or _is_agent(process, folder)
        ):
            yield process


def _is_agent(process: psutil.Process, folder: Path) -> bool:
    """True for a Python process of this installation with open files in the run's folder."""
    if not psutil.LINUX:
        return False
    proc = Path(f"/proc/{process.pid}")
    try:
        if not (proc / "exe").samefile(sys.executable):
            return False
        return any(one.readlink().is_relative_to(folder) for one in (proc / "fd").iterdir())
    except OSError:
        return False  # ended meanwhile, a zombie, or another user's


def _environment(process: psutil.Process) -> list[bytes]:
    try:
        if psutil.LINUX:
            # psutil stops at the first empty entry, and Ray's process titles create empty entries.
            return Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
        return [os.fsencode(f"{name}={value}") for name, value in process.environ().items()]
    except (OSError, psutil.Error):
        return []  # ended meanwhile, a zombie, or another user's
