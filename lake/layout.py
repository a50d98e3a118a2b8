"""Every key in the bucket, in one place (docs/design.md, "Layout of the bucket").

    images/<tenant>/<first 2 hex of id>/<image_id>/original-<attempt>.<ext>
                                                   <rendition>-<attempt>.<ext>
                                                   record.json
    journal/<home>/<name>.arrow
    lake/images/dt=2026-11-23/hour=10/<home>-<n>.parquet
    presets/<name>/<version>.json
    probe/<name>                                  start-up probe and clock, deleted at once

A home is written as the start of its window in UTC, for instance `20261123T100400Z`: such names
sort by time, in S3 and on paper.
"""

import re
from datetime import UTC, datetime, timedelta

IMAGES = "images"
JOURNAL = "journal"
LAKE_IMAGES = "lake/images"
PROBE = "probe"

TENANT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
IMAGE_ID = re.compile(r"[0-9a-f]{32}")
_HOME_FORMAT = "%Y%m%dT%H%M%SZ"
_CHAIN_FILE = re.compile(r"(\d{8}T\d{6}Z)-(\d+)\.parquet")


def home_name(home: datetime) -> str:
    """`20261123T100400Z`."""
    return home.astimezone(UTC).strftime(_HOME_FORMAT)


def parse_home(name: str) -> datetime:
    """The window start that `name` stands for; raises ValueError."""
    return datetime.strptime(name, _HOME_FORMAT).replace(tzinfo=UTC)


def home_of(moment: datetime, window: timedelta) -> datetime:
    """Start of the window that `moment` falls into; windows are counted from 1970."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return moment - (moment - epoch) % window


def image_prefix(tenant: str, image_id: str) -> str:
    """Folder of one image."""
    return f"{IMAGES}/{tenant}/{image_id[:2]}/{image_id}"


def record_key(tenant: str, image_id: str) -> str:
    """The commit point of an image."""
    return f"{image_prefix(tenant, image_id)}/record.json"


def object_key(tenant: str, image_id: str, name: str, attempt: str, extension: str) -> str:
    """An original or a rendition; no two attempts share a key."""
    return f"{image_prefix(tenant, image_id)}/{name}-{attempt}.{extension}"


def journal_prefix(home: datetime) -> str:
    """Folder of the rows that wait for sealing."""
    return f"{JOURNAL}/{home_name(home)}"


def journal_key(home: datetime, name: str) -> str:
    """One journal object."""
    return f"{journal_prefix(home)}/{name}.arrow"


def hour_prefix(home: datetime) -> str:
    """Folder (Hive partition) that holds the chain of a home."""
    return f"{LAKE_IMAGES}/dt={home:%Y-%m-%d}/hour={home:%H}"


def chain_key(home: datetime, n: int) -> str:
    """File number `n` of a home's chain."""
    return f"{hour_prefix(home)}/{home_name(home)}-{n}.parquet"


def parse_chain_key(key: str) -> tuple[datetime, int] | None:
    """Home and number of a chain file, or None for a key that is not one."""
    match = _CHAIN_FILE.fullmatch(key.rsplit("/", 1)[-1])
    return (parse_home(match[1]), int(match[2])) if match else None
