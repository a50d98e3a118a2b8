"""Result of the last audit, which the store keeps so that the sealer can export it as metrics.

An audit runs for minutes in a process of its own, whose metrics Prometheus would not find.
"""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, ValidationError

from lake import layout
from lake.errors import KeyMissing, UnreadableObject
from lake.store.object_store import ObjectStore


class LastAudit(BaseModel):
    """Time of an audit, start and end of the checked windows, and number of faults by check."""

    model_config = ConfigDict(frozen=True)

    at: datetime
    start: datetime
    end: datetime
    full: bool
    faults: dict[str, int]


async def keep(store: ObjectStore, audit: LastAudit) -> None:
    """Replace the result of the previous audit; raises StoreUnavailable, StoreFull."""
    await store.put(layout.LAST_AUDIT, audit.model_dump_json().encode())


async def last_audit(store: ObjectStore) -> LastAudit | None:
    """Read the result of the last audit; None before the first.

    Raises UnreadableObject, StoreUnavailable.
    """
    try:
        data, _ = await store.get(layout.LAST_AUDIT)
        return LastAudit.model_validate_json(data)
    except KeyMissing:
        return None
    except ValidationError as error:
        raise UnreadableObject(f"{layout.LAST_AUDIT}: {error}", value=layout.LAST_AUDIT) from error
