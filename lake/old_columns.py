"""Objects with the column names of before 0.1.0: `home` and `door` for `window_start` and `source`.

No release has written such objects, so there is no migration: the error OldColumns refuses them.
"""

import json
from collections.abc import Collection

from lake.errors import OldColumns

OLD_COLUMNS = {"home": "window_start", "door": "source"}
"""old name: name since 0.1.0"""
NO_MIGRATION = (
    "0.1.0 is the first release and there is no migration: start with an empty store, or delete "
    "this one and send the images again"
)


def refuse_old_columns(what: str, key: str, names: Collection[str]) -> None:
    """Raise OldColumns if these are the column names of before 0.1.0; `what` was found at `key`."""
    found = [old for old, new in OLD_COLUMNS.items() if old in names and new not in names]
    if found:
        expected = ", ".join(OLD_COLUMNS[name] for name in found)
        raise OldColumns(
            f"{what} {key} was written before 0.1.0: it has {', '.join(found)}, this version reads "
            f"{expected}. {NO_MIGRATION}",
            value=key,
        )


def refuse_old_json(what: str, key: str, data: bytes) -> None:
    """Raise OldColumns if the first line of JSON has the names of before 0.1.0."""
    try:
        names = json.loads(data.partition(b"\n")[0])
    except ValueError:
        return
    if isinstance(names, dict):
        refuse_old_columns(what, key, names)
