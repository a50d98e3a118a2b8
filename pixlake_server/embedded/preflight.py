"""Checks before a start, which find common faults within seconds.

Each error says what is wrong, which setting causes it, and what to do. A check needs one request to
the machine or to a server; other faults appear only during the start itself.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ingest.cluster import check_cluster
from ingest.settings import IngestSettings
from lake.commit.preset_store import PresetStore
from lake.errors import (
    StoreDenied,
    StoreFull,
    StoreReadOnly,
    StoreUnreachable,
    StoreUntrustworthy,
    Unavailable,
)
from lake.settings import LakeSettings
from lake.store.bucket import check_store
from lake.store.object_store import ObjectStore
from lake.store.opening import open_store
from pixlake_server.embedded.errors import DatabaseUnusable, PresetUnusable
from pixlake_server.embedded.jars import cache_folder
from pixlake_server.embedded.memory import check_memory, worst_case
from pixlake_server.embedded.ports import check_ports
from pixlake_server.embedded.room import (
    check_clock,
    check_disk,
    check_memory_free,
    check_programs_run,
)
from pixlake_server.embedded.run_folder import LOCK, user_folder
from pixlake_server.embedded.settings import EmbeddedSettings
from processors.errors import InvalidPreset, UnknownPreset
from processors.machine import memory_limit
from processors.preset import PresetName
from processors.preset_registry import PresetRegistry
from processors.settings import ProcessorSettings
from serve_app.accounts import Accounts
from serve_app.accounts.errors import AccountsUnavailable
from serve_app.settings import ServeSettings

_ASK_SECONDS = 2.5
_KAFKA_HOST = "127.0.0.1"
_REMEDIES: dict[type[Exception], str] = {
    StoreDenied: "give Pixlake the right to read, write and delete there",
    StoreReadOnly: "mount it for writing",
    StoreFull: "make room",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a start."""

    embedded: EmbeddedSettings
    served: ServeSettings
    lake: LakeSettings
    processors: ProcessorSettings
    ingest: IngestSettings

    @classmethod
    def read(cls, home: Path) -> "Settings":
        """Read all settings from the environment, for this home. Raises ValueError."""
        return cls(
            EmbeddedSettings(home=home),
            ServeSettings(home=home),
            LakeSettings(home=home),
            ProcessorSettings(),
            IngestSettings(),
        )


def check_machine(settings: Settings, home: Path) -> None:
    """Check memory, disk, ports; raises CannotStart, TooLittleMemory."""
    parts = worst_case(settings.embedded, settings.served, settings.processors, settings.ingest)
    limit = settings.embedded.memory_bytes or memory_limit()
    check_memory(parts, limit)
    check_memory_free()
    sockets = user_folder()
    check_programs_run(sockets)
    check_disk(_folders(settings, home, sockets))
    ports = {"PIXLAKE_HTTP_PORT": (settings.served.http_host, settings.served.http_port)}
    if settings.embedded.kafka_bootstrap_servers is None:
        ports["PIXLAKE_KAFKA_PORT"] = (_KAFKA_HOST, settings.embedded.kafka_port)
    check_ports(ports)


def check_last_start(home: Path) -> None:
    """Check the clock against the last start; must be called before the lock file is written.

    Raises WrongClock.
    """
    check_clock(home / LOCK)


def check_servers(settings: Settings) -> None:
    """Check concurrently that all external servers are accessible.

    Raises the first error: StoreUnreachable, KafkaUnavailable, DatabaseUnusable or ValueError.
    """
    questions: list[Callable[[], None]] = [
        lambda: check_store(settings.lake, _ASK_SECONDS),
        lambda: _check_accounts(settings.served),
    ]
    if settings.embedded.kafka_bootstrap_servers is not None:
        questions.append(lambda: check_cluster(settings.ingest, _ASK_SECONDS))
    with ThreadPoolExecutor(len(questions)) as pool:
        for answer in [pool.submit(question) for question in questions]:
            answer.result()


async def prepare_store(lake: LakeSettings, default_preset: str) -> None:
    """Open or create the store, and check that it accepts writes and has the default preset.

    Raises StoreUnreachable, PresetUnusable, StoreMisused.
    """
    try:
        store, _ = await open_store(lake, make=True)
        await _check_preset(store, default_preset)
    except (Unavailable, StoreUntrustworthy) as error:
        remedy = _REMEDIES.get(type(error))
        advice = f"{remedy}, or name another store in" if remedy else "see"
        raise StoreUnreachable(
            f"the store {lake.location}: {error.detail}; {advice} PIXLAKE_STORE_URL"
        ) from error


async def _check_preset(store: ObjectStore, name: str) -> None:
    try:
        await PresetRegistry(PresetStore(store)).find(PresetName.parse(name))
    except (UnknownPreset, InvalidPreset) as error:
        raise PresetUnusable(f"PIXLAKE_DEFAULT_PRESET: {error.detail}") from error


def _check_accounts(served: ServeSettings) -> None:
    try:
        Accounts.open(served.accounts_url, connect_seconds=int(_ASK_SECONDS)).close()
    except ValueError as error:
        raise DatabaseUnusable(str(error)) from error
    except OSError as error:
        raise DatabaseUnusable(
            f"the accounts' database: {error}; see PIXLAKE_DATABASE_URL"
        ) from error
    except AccountsUnavailable as error:
        # The database's own message contains names, but never the password.
        reason = str(getattr(error.__cause__, "orig", None) or error).splitlines()[0]
        raise DatabaseUnusable(
            f"the accounts' database: {reason}; see PIXLAKE_DATABASE_URL"
        ) from error


def _folders(settings: Settings, home: Path, sockets: Path) -> dict[str, Path]:
    """Return the folders that a start writes to, keyed by the advice for a full disk."""
    found = {
        "set PIXLAKE_HOME to a folder on another disk": home,
        "remove files in /tmp": sockets,
    }
    store = urlsplit(settings.lake.location)
    if store.scheme == "file":
        folder = Path(unquote(store.path))
        existing = next(each for each in (folder, *folder.parents) if each.exists())
        found["name a folder on another disk in PIXLAKE_STORE_URL"] = existing
    if settings.embedded.kafka_bootstrap_servers is None:
        cache = cache_folder()
        cache.mkdir(parents=True, exist_ok=True)
        found["set XDG_CACHE_HOME to a folder on another disk"] = cache
    return found
