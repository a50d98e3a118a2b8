"""Names of all keys in the store.

    images/<tenant>/<first 2 hex of id>/<image_id>/original-<attempt>.<ext>
                                                   <rendition>-<attempt>.<ext>
                                                   record.json
    journal/<window>/<name>.jsonl, .arrow
    lake/images/dt=2026-11-23/hour=10/<window>-<n>.parquet
    lake/compacted/images/dt=2026-11-23/hour=10/<window>.parquet
    lake/compacted/images.json                    watermark: hours before it are complete there
    lake/rebuilt/images/dt=…, rejections/dt=…     a new lake that will replace the current one
    rejections/records/<first 2 hex of id>/<rejection_id>.json
    rejections/journal/<window>/<name>.jsonl, .arrow
    rejections/tries/<rejection_id>.json          number of unexpected failures of a message
    lake/rejections/…, lake/compacted/rejections/…                like those of images
    lake/usage/dt=2026-11-23/hour=00/<start of the day>-0.parquet      usage of a closed day
    audit/unfinished/<tenant>/<image_id>.json     images that had no row when an audit ran
    audit/last.json                               result of the last audit
    audit/accepted-time.json                      time of the last sweep
    audit-log/erasures/<day>/<image_id>-<attempt>.json
    presets/<name>/<version>.json                 shared by all tenants
    presets/_tenants/<tenant>/<name>/<version>.json           those that a tenant owns
    store.json                                    settings of the store, equal for all processes
    probe/<name>                                  start-up probe and clock, deleted at once

A window is written as its start in UTC, for instance `20261123T100400Z`, so that names sort by
time.
"""

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

IMAGES = "images"
REJECTIONS = "rejections"
REJECTION_RECORDS = "rejections/records"
TRIES = "rejections/tries"
PROBE = "probe"
PRESETS = "presets"
TENANT_PRESETS = "presets/_tenants"
STORE = "store.json"
RECORD = "record.json"
RECORD_DEPTH = 3
"""folders from `images` to a record: tenant, two digits of the id, id"""
AUDIT = "audit"
UNFINISHED = "audit/unfinished"
LAST_AUDIT = "audit/last.json"
ACCEPTED_TIME = "audit/accepted-time.json"
REBUILT = "lake/rebuilt"
AUDIT_LOG = "audit-log"
ERASURES = "audit-log/erasures"
ROOTS = (IMAGES, "journal", "lake", REJECTIONS, AUDIT, AUDIT_LOG, PRESETS, PROBE)
"""all top-level folders; a role of a cloud needs rights for each that its processes use"""
HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Folders:
    """Folders of a table's rows: waiting, sealed, and compacted."""

    journal: str
    chains: str
    compacted: str


def rebuilt_rows(table: str) -> Folders:
    """Folders of a table in the shadow lake, which has neither a journal nor compacted files."""
    return Folders("", f"{REBUILT}/{table}", "")


IMAGE_ROWS = Folders("journal", "lake/images", "lake/compacted/images")
REJECTION_ROWS = Folders("rejections/journal", "lake/rejections", "lake/compacted/rejections")
USAGE_ROWS = Folders("", "lake/usage", "lake/compacted/usage")
"""Folders of usage, which is written by day and has neither a journal nor compacted files."""
JOURNAL = IMAGE_ROWS.journal
LAKE_IMAGES = IMAGE_ROWS.chains

TENANT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
IMAGE_ID = re.compile(r"[0-9a-f]{32}")
_WINDOW_FORMAT = "%Y%m%dT%H%M%SZ"
_HOME = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_CHAIN_FILE = re.compile(r"(\d{8}T\d{6}Z)-(\d+)\.parquet")
_PRESET_FILE = re.compile(r"[1-9]\d{0,8}")
_PARTITION = re.compile(r"dt=(\d{4})-(\d\d)-(\d\d)/hour=(\d\d)")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_COMPACTED_FILE = re.compile(r"(\d{8}T\d{6}Z)\.parquet")


def window_name(window_start: datetime) -> str:
    """Name of a window, such as `20261123T100400Z`."""
    return window_start.astimezone(UTC).strftime(_WINDOW_FORMAT)


def parse_window(name: str) -> datetime:
    """Parse the name of a window; raises ValueError."""
    if not _HOME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a window, such as 20261123T100400Z")
    # A listing has thousands of names; `strptime` takes forty times as long.
    return datetime.fromisoformat(name)


def windows_of(names: Iterable[str]) -> list[datetime]:
    """Windows of the folders of a journal; ignores folders with other names.

    An audit reports such folders.
    """
    windows = []
    for name in names:
        with suppress(ValueError):
            windows.append(parse_window(name))
    return windows


def not_windows(names: Iterable[str]) -> list[str]:
    """Names of folders of a journal that are not windows."""
    return [name for name in names if not windows_of([name])]


def window_start_of(moment: datetime, window: timedelta) -> datetime:
    """Start of the window that `moment` falls into; windows are counted from 1970."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return moment - (moment - epoch) % window


def hour_of(moment: datetime) -> datetime:
    """Start of the hour that `moment` falls into."""
    return window_start_of(moment, HOUR)


def image_prefix(tenant: str, image_id: str) -> str:
    """Folder of one image."""
    return f"{IMAGES}/{tenant}/{image_id[:2]}/{image_id}"


def record_key(tenant: str, image_id: str) -> str:
    """Key of an image's record, which is its commit point."""
    return f"{image_prefix(tenant, image_id)}/{RECORD}"


def object_key(tenant: str, image_id: str, name: str, attempt: str, extension: str) -> str:
    """Key of an original or a rendition; no two attempts share a key."""
    return f"{image_prefix(tenant, image_id)}/{name}-{attempt}.{extension}"


def rejection_key(rejection_id: str) -> str:
    """Key of the record of a rejection, which fixes its window and row."""
    return f"{REJECTION_RECORDS}/{rejection_id[:2]}/{rejection_id}.json"


def tries_key(rejection_id: str) -> str:
    """Key of the counter of a message's unexpected failures."""
    return f"{TRIES}/{rejection_id}.json"


def unfinished_key(tenant: str, image_id: str) -> str:
    """Key of an audit's mark for an image without a row."""
    return f"{UNFINISHED}/{tenant}/{image_id}.json"


def erasure_key(image_id: str, attempt: str, erased_at: datetime) -> str:
    """Key of an erasure's entry in the audit log."""
    return f"{ERASURES}/{erased_at:%Y-%m-%d}/{image_id}-{attempt}.json"


def parse_day(name: str) -> date | None:
    """Parse the day of a folder of the audit log; None for another folder."""
    try:
        return date.fromisoformat(name) if _DAY.fullmatch(name) else None
    except ValueError:
        return None


def preset_path(name: str, tenant: str | None = None) -> str:
    """Path of a preset below `presets/`: the name of a shared preset, or `_tenants/…`.

    No name of a preset begins with `_`.
    """
    return name if tenant is None else f"_tenants/{tenant}/{name}"


def tenant_presets_prefix(tenant: str) -> str:
    """Folder of the presets that a tenant owns."""
    return f"{TENANT_PRESETS}/{tenant}"


def preset_prefix(path: str) -> str:
    """Folder of a preset's versions."""
    return f"{PRESETS}/{path}"


def preset_key(path: str, version: int) -> str:
    """Key of a preset version, which is written once."""
    return f"{preset_prefix(path)}/{version}.json"


def parse_preset_key(key: str) -> tuple[str, int] | None:
    """Path and version of a stored preset, or None for a key that is not one."""
    folder, _, file = key.rpartition("/")
    version = file.removesuffix(".json")
    if not file.endswith(".json") or _PRESET_FILE.fullmatch(version) is None:
        return None
    return folder.removeprefix(f"{PRESETS}/"), int(version)


def journal_prefix(window_start: datetime, of: Folders = IMAGE_ROWS) -> str:
    """Folder of the rows that wait for sealing."""
    return f"{of.journal}/{window_name(window_start)}"


def journal_key(
    window_start: datetime, name: str, of: Folders = IMAGE_ROWS, extension: str = "arrow"
) -> str:
    """Key of a journal object."""
    return f"{journal_prefix(window_start, of)}/{name}.{extension}"


def partition(hour: datetime) -> str:
    """Hive partition of an hour, or of a window in it: `dt=2026-11-23/hour=10`."""
    return f"dt={hour:%Y-%m-%d}/hour={hour:%H}"


def parse_partition(name: str) -> datetime | None:
    """Parse the hour from `dt=…/hour=…`; None for another folder."""
    match = _PARTITION.fullmatch(name)
    try:
        return parse_window(f"{match[1]}{match[2]}{match[3]}T{match[4]}0000Z") if match else None
    except ValueError:
        return None


def hour_prefix(window_start: datetime, of: Folders = IMAGE_ROWS) -> str:
    """Folder (Hive partition) that holds the chain of a window."""
    return f"{of.chains}/{partition(window_start)}"


def chain_key(window_start: datetime, n: int, of: Folders = IMAGE_ROWS) -> str:
    """Key of file `n` of a window's chain."""
    return f"{hour_prefix(window_start, of)}/{window_name(window_start)}-{n}.parquet"


def parse_chain_key(key: str) -> tuple[datetime, int] | None:
    """Window and number of a segment, or None for a key that is not one."""
    folder, _, name = key.rpartition("/")
    return None if _partition_of(folder) is None else parse_chain_name(name)


def parse_chain_name(name: str) -> tuple[datetime, int] | None:
    """Window and number of a segment by its file name, or None for a name that is not one."""
    match = _CHAIN_FILE.fullmatch(name)
    if match is not None:
        with suppress(ValueError):
            return parse_window(match[1]), int(match[2])
    return None


def compacted_prefix(hour: datetime, of: Folders = IMAGE_ROWS) -> str:
    """Folder of the compacted files of an hour."""
    return f"{of.compacted}/{partition(hour)}"


def compacted_key(window_start: datetime, of: Folders = IMAGE_ROWS) -> str:
    """Key of the compacted file from this window to the first window of the hour's next file."""
    return f"{compacted_prefix(window_start, of)}/{window_name(window_start)}.parquet"


def parse_compacted_key(key: str) -> datetime | None:
    """First window of a compacted file, or None for a key that is not one."""
    folder, _, name = key.rpartition("/")
    match = _COMPACTED_FILE.fullmatch(name)
    if match is None or _partition_of(folder) is None:
        return None
    with suppress(ValueError):
        return parse_window(match[1])
    return None


def _partition_of(folder: str) -> datetime | None:
    """Hour of the folder that holds a file directly; None for another folder."""
    return parse_partition("/".join(folder.split("/")[-2:]))


def watermark_key(of: Folders = IMAGE_ROWS) -> str:
    """Key of a table's watermark."""
    return f"{of.compacted}.json"
