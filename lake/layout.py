"""Names of all keys in the bucket (docs/design.md, "Layout of the bucket").

    images/<tenant>/<first 2 hex of id>/<image_id>/original-<attempt>.<ext>
                                                   <rendition>-<attempt>.<ext>
                                                   record.json
    journal/<home>/<name>.jsonl, .arrow
    lake/images/dt=2026-11-23/hour=10/<home>-<n>.parquet
    lake/compacted/images/dt=2026-11-23/hour=10/<home>.parquet
    lake/compacted/images.json                    watermark: hours before it are complete there
    lake/rebuilt/images/dt=…, rejections/dt=…     a new lake that will replace the current one
    rejections/records/<first 2 hex of id>/<rejection_id>.json
    rejections/journal/<home>/<name>.jsonl, .arrow
    rejections/tries/<rejection_id>.json          number of unexpected failures of a message
    lake/rejections/…, lake/compacted/rejections/…                like those of images
    audit/unfinished/<tenant>/<image_id>.json     images that had no row when an audit ran
    audit/last.json                               result of the last audit
    audit-log/erasures/<day>/<image_id>-<attempt>.json
    presets/<name>/<version>.json
    store.json                                    settings of the store, equal for all processes
    probe/<name>                                  start-up probe and clock, deleted at once

A home is written as the start of its window in UTC, for instance `20261123T100400Z`, so that names
sort by time.
"""

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

IMAGES = "images"
REJECTIONS = "rejections"
REJECTION_RECORDS = "rejections/records"
TRIES = "rejections/tries"
PROBE = "probe"
PRESETS = "presets"
STORE = "store.json"
RECORD = "record.json"
RECORD_DEPTH = 3
"""folders from `images` to a record: tenant, two digits of the id, id"""
AUDIT = "audit"
UNFINISHED = "audit/unfinished"
LAST_AUDIT = "audit/last.json"
REBUILT = "lake/rebuilt"
ERASURES = "audit-log/erasures"
HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Folders:
    """Folders of a table's rows: waiting, sealed, and compacted."""

    journal: str
    chains: str
    compacted: str


IMAGE_ROWS = Folders("journal", "lake/images", "lake/compacted/images")
REJECTION_ROWS = Folders("rejections/journal", "lake/rejections", "lake/compacted/rejections")
JOURNAL = IMAGE_ROWS.journal
LAKE_IMAGES = IMAGE_ROWS.chains

TENANT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
IMAGE_ID = re.compile(r"[0-9a-f]{32}")
_HOME_FORMAT = "%Y%m%dT%H%M%SZ"
_HOME = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_CHAIN_FILE = re.compile(r"(\d{8}T\d{6}Z)-(\d+)\.parquet")
_PRESET_FILE = re.compile(r"[1-9]\d{0,8}")
_PARTITION = re.compile(r"dt=(\d{4})-(\d\d)-(\d\d)/hour=(\d\d)")
_COMPACTED_FILE = re.compile(r"(\d{8}T\d{6}Z)\.parquet")


def home_name(home: datetime) -> str:
    """Name of a home, such as `20261123T100400Z`."""
    return home.astimezone(UTC).strftime(_HOME_FORMAT)


def parse_home(name: str) -> datetime:
    """Parse the name of a home; raises ValueError."""
    if not _HOME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a home, such as 20261123T100400Z")
    # A listing has thousands of names; `strptime` takes forty times as long.
    return datetime.fromisoformat(name)


def homes_of(names: Iterable[str]) -> list[datetime]:
    """Homes of the folders of a journal; ignores folders with other names.

    An audit reports such folders.
    """
    homes = []
    for name in names:
        with suppress(ValueError):
            homes.append(parse_home(name))
    return homes


def home_of(moment: datetime, window: timedelta) -> datetime:
    """Start of the window that `moment` falls into; windows are counted from 1970."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return moment - (moment - epoch) % window


def hour_of(moment: datetime) -> datetime:
    """Start of the hour that `moment` falls into."""
    return home_of(moment, HOUR)


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
    """Key of the record of a rejection, which fixes its home and row."""
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


def preset_prefix(name: str) -> str:
    """Folder of a preset's versions."""
    return f"{PRESETS}/{name}"


def preset_key(name: str, version: int) -> str:
    """Key of a preset version, which is written once."""
    return f"{preset_prefix(name)}/{version}.json"


def parse_preset_key(key: str) -> tuple[str, int] | None:
    """Name and version of a stored preset, or None for a key that is not one."""
    folder, _, file = key.rpartition("/")
    version = file.removesuffix(".json")
    if not file.endswith(".json") or _PRESET_FILE.fullmatch(version) is None:
        return None
    return folder.removeprefix(f"{PRESETS}/"), int(version)


def journal_prefix(home: datetime, of: Folders = IMAGE_ROWS) -> str:
    """Folder of the rows that wait for sealing."""
    return f"{of.journal}/{home_name(home)}"


def journal_key(
    home: datetime, name: str, of: Folders = IMAGE_ROWS, extension: str = "arrow"
) -> str:
    """Key of a journal object."""
    return f"{journal_prefix(home, of)}/{name}.{extension}"


def partition(hour: datetime) -> str:
    """Hive partition of an hour, or of a home in it: `dt=2026-11-23/hour=10`."""
    return f"dt={hour:%Y-%m-%d}/hour={hour:%H}"


def parse_partition(name: str) -> datetime | None:
    """Parse the hour from `dt=…/hour=…`; None for another folder."""
    match = _PARTITION.fullmatch(name)
    try:
        return parse_home(f"{match[1]}{match[2]}{match[3]}T{match[4]}0000Z") if match else None
    except ValueError:
        return None


def hour_prefix(home: datetime, of: Folders = IMAGE_ROWS) -> str:
    """Folder (Hive partition) that holds the chain of a home."""
    return f"{of.chains}/{partition(home)}"


def chain_key(home: datetime, n: int, of: Folders = IMAGE_ROWS) -> str:
    """Key of file `n` of a home's chain."""
    return f"{hour_prefix(home, of)}/{home_name(home)}-{n}.parquet"


def parse_chain_key(key: str) -> tuple[datetime, int] | None:
    """Home and number of a chain file, or None for a key that is not one."""
    match = _CHAIN_FILE.fullmatch(key.rsplit("/", 1)[-1])
    return (parse_home(match[1]), int(match[2])) if match else None


def compacted_prefix(hour: datetime, of: Folders = IMAGE_ROWS) -> str:
    """Folder of the compacted files of an hour."""
    return f"{of.compacted}/{partition(hour)}"


def compacted_key(home: datetime, of: Folders = IMAGE_ROWS) -> str:
    """Key of the compacted file from this home to the first home of the hour's next file."""
    return f"{compacted_prefix(home, of)}/{home_name(home)}.parquet"


def parse_compacted_key(key: str) -> datetime | None:
    """First home of a compacted file, or None for a key that is not one."""
    match = _COMPACTED_FILE.fullmatch(key.rsplit("/", 1)[-1])
    return parse_home(match[1]) if match else None


def watermark_key(of: Folders = IMAGE_ROWS) -> str:
    """Key of a table's watermark."""
    return f"{of.compacted}.json"
