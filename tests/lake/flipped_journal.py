"""Reader of Arrow files of the journal with one changed byte each.

`python -m tests.lake.flipped_journal` prints `done` if each file was read or was unreadable.
"""

import random
import sys
from contextlib import suppress
from datetime import UTC, datetime

from benchmarks.lake_rows import generated
from lake.commit.journal_objects import decode_journal, distinct, encode_rows, encode_tombstone
from lake.errors import UnreadableObject
from lake.tables.schema import Tombstone

_TRIES = 1500
_NOW = datetime(2026, 11, 23, tzinfo=UTC)


def main() -> None:
    """Change one byte at a time, at random places."""
    tombstone = Tombstone(
        image_id="0" * 32, tenant="acme", attempt="0" * 16, window_start=_NOW, erased_at=_NOW
    )
    dice = random.Random(1)
    for data in (encode_tombstone(tombstone), encode_rows(generated(64, seed=1))):
        for _ in range(_TRIES):
            at = dice.randrange(len(data))
            damaged = data[:at] + bytes([dice.randrange(256)]) + data[at + 1 :]
            with suppress(UnreadableObject):
                rows = distinct(decode_journal("key", damaged))
                str(rows.images.slice(0, 1))
    sys.stdout.write("done\n")


if __name__ == "__main__":
    main()
