"""PostgreSQL for tests: PIXLAKE_TEST_POSTGRES_URL, or a cluster of Debian's server in a folder."""

import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import psutil
from sqlalchemy import create_engine, make_url, text

_BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
# The server refuses to run as root. Every Debian has this user.
_UNPRIVILEGED = "nobody"


def postgres_or_reason() -> "Postgres | str":
    """Return a server that can be started here, or the reason why none can."""
    url = os.environ.get("PIXLAKE_TEST_POSTGRES_URL")
    if url:
        return Postgres(url)
    if not _BINARIES:
        return "neither PIXLAKE_TEST_POSTGRES_URL is set nor /usr/lib/postgresql is there"
    return Postgres(None)


class Postgres:
    """PostgreSQL server as a context manager; `new_database` makes a database for each test."""

    def __init__(self, url: str | None) -> None:
        self._url = url
        self._stack = ExitStack()
        # Of a server that was started here: its socket, and its data.
        self._folder = Path()

    def __enter__(self) -> Self:
        if self._url is None:
            self._url = self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def new_database(self) -> str:
        """Make an empty database; returns its URL."""
        assert self._url is not None
        url = make_url(self._url).set(drivername="postgresql+psycopg")
        name = f"test_{uuid.uuid4().hex}"
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return url.set(drivername="postgresql", database=name).render_as_string(hide_password=False)

    def _start(self) -> str:
        # In /tmp, neither in pytest's folder nor in TMPDIR: the path of a socket has at most 107
        # bytes, and the unprivileged user must have access to it.
        folder = Path(tempfile.mkdtemp(prefix="pixlake-postgres-", dir="/tmp"))
        self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        if os.geteuid() == 0:
            shutil.chown(folder, _UNPRIVILEGED)
        data = folder / "data"
        self._run(
            "initdb", "-D", str(data), "-U", "pixlake", "--auth=trust", "--no-sync", "-E", "UTF8"
        )
        self._folder = folder
        self.start()
        self._stack.callback(self.stop)
        return f"postgresql://pixlake@/postgres?host={folder}"

    @property
    def socket(self) -> Path:
        """Socket of a server that was started here."""
        return self._folder / ".s.PGSQL.5432"

    def start(self) -> None:
        """Start the server in its folder, and return when it answers."""
        options = f"-c listen_addresses= -c unix_socket_directories={self._folder} -c fsync=off"
        self._control("-w", "-l", f"{self._folder}/log", "-o", options, "start")

    def stop(self) -> None:
        """End the server as a crash would; `start` then recovers what was committed."""
        self._control("-m", "immediate", "stop")

    def pause(self) -> None:
        """Freeze all processes of the server: connections stay open and get no answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let the server continue after `pause`."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        first = psutil.Process(
            int((self._folder / "data" / "postmaster.pid").read_text().split()[0])
        )
        for process in (first, *first.children(recursive=True)):
            process.send_signal(number)

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", "-D", f"{self._folder}/data", *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        user = _UNPRIVILEGED if os.geteuid() == 0 else None
        subprocess.run(
            [str(_BINARIES[-1] / program), *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd="/",
            user=user,
            env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
        )
