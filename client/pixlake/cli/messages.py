"""Headers of a Kafka message with one image, as `ingest/messages.py` reads them.

The CloudEvents id is a hash of the content, so a file that is produced twice is the same event, and
is stored once.
"""

import hashlib
import json
from collections.abc import Mapping

from pixlake.cli.output import clean

EVENT_SOURCE = "pixlake-produce"
EVENT_TYPE = "pixlake.image"


def headers(
    filename: str, preset: str | None, metadata: Mapping[str, str], event_id: str | None
) -> list[tuple[str, bytes]]:
    """Build the headers of a message.

    Unprintable characters of the file name are replaced, because a consumer refuses such headers.
    """
    made = {"pixlake-filename": clean(filename)}
    if preset is not None:
        made["pixlake-preset"] = preset
    made |= {f"pixlake-meta-{name}": value for name, value in metadata.items()}
    if event_id is not None:
        made |= {
            "ce_specversion": "1.0",
            "ce_type": EVENT_TYPE,
            "ce_source": EVENT_SOURCE,
            "ce_id": event_id,
        }
    return [(name, value.encode()) for name, value in made.items()]


def content_id(data: bytes, preset: str | None, metadata: Mapping[str, str]) -> str:
    """SHA-256 of bytes, preset and metadata, hex; equal content has the same id."""
    parts = [hashlib.sha256(data).hexdigest(), preset, dict(metadata)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
