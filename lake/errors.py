"""Errors of the lake, without HTTP status or Kafka verdict; each caller maps them.

LakeError
  x Verdict                  final for this image, never retry
      · IdempotencyConflict    idempotency_conflict   same identity, other content
      · ImageErased            image_erased           a tombstone holds the name
      · ImageExpired           image_expired          past its retention
      · ImageNotFound          image_not_found
      · MessageExpired         message_expired        a Kafka message older than the retention
      · RefusedBefore          refused_before         this Kafka message was refused before
      · UnstorableRow          unstorable_row         the record does not fit into a row
      · InvalidCursor          invalid_cursor
  x Unavailable              temporary; nothing is acknowledged, the caller may try again
      · StoreUnavailable       store_unavailable
          StoreDenied          store_denied           the role of this process lacks a right
          RejectionsDenied     rejections_denied      … on rejections only, so it may last
          StoreReadOnly        store_read_only        its file system is read-only
      · StoreFull              store_full
      · ImageExpiring          image_expiring         not yet free; `value`: seconds to wait
      · RecordDamaged          record_damaged         not yet free; `value`: seconds to wait
      · AttemptTooOld          attempt_too_old        limit: seconds
      · LakeHeld               lake_held              rows wait while a new lake takes over
      · ClaimKept              claim_kept             a stuck window waits for the watermark
  x StoreUntrustworthy       store_untrustworthy    the start-up probe failed
  x StoreUnreachable         store_unreachable      the check of `pixlake up` failed
  x StoreMisused             nothing is read or written
      · StoreMissing           store_missing          there is no store at that location
      · StoreContradicted      store_contradicted     limit: the store's value, value: the other
      · StoreUndecided         store_undecided        an older store without a known retention
      · StoreTooNew            store_too_new          made by a later version of Pixlake
      · StoreTooOld            store_too_old          made before 0.1.0, with other column names
  x UnreadableObject         unreadable_object      an object of Pixlake that does not parse
      · OldColumns             old_columns            it has the column names of before 0.1.0

Inside the lake only (callers do not get them): AlreadyExists, Mismatch, KeyMissing.
Every error survives pickling (they cross Ray processes) and carries a stable `code`.
"""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Fault:
    """Reason of a refusal: HTTP answers, dead letters, rows of rejections and batches have it.

    `limit` and `value` are set if a limit was exceeded; `value` also names what was invalid.
    """

    code: str
    detail: str
    limit: float | None = None
    value: float | str | None = None


class CodedError(Exception):
    """Base class of the errors of all packages: a fault whose code is the class's."""

    code: ClassVar[str] = "error"

    def __init__(
        self,
        detail: str,
        *,
        limit: float | None = None,
        value: float | str | None = None,
    ) -> None:
        # Pickle rebuilds an exception from this argument and the attributes.
        super().__init__(detail)
        self.detail = detail
        self.limit = limit
        self.value = value

    @property
    def fault(self) -> Fault:
        """The error as a value."""
        return Fault(self.code, self.detail, self.limit, self.value)

    @property
    def message(self) -> str:
        """Detail; scripts outside the service read this name."""
        return self.detail


class LakeError(CodedError):
    """Base class of all errors of the lake."""

    code = "lake_error"


class Verdict(LakeError):
    """Final error for this image."""


class IdempotencyConflict(Verdict):
    """The identity was used for other bytes, another preset or other metadata."""

    code = "idempotency_conflict"


class ImageErased(Verdict):
    """The image was erased; its id can't be used again until the tombstone expires."""

    code = "image_erased"


class ImageExpired(Verdict):
    """The image is past its retention."""

    code = "image_expired"


class ImageNotFound(Verdict):
    """The tenant has no such image."""

    code = "image_not_found"


class MessageExpired(Verdict):
    """Kafka message that is older than the retention; limit and value: ages in seconds."""

    code = "message_expired"


class RefusedBefore(Verdict):
    """Kafka message that was refused when it was read before, and stays refused."""

    code = "refused_before"


class UnstorableRow(Verdict):
    """Values of this image do not fit into a row of the lake, so it is not stored."""

    code = "unstorable_row"


class InvalidCursor(Verdict):
    """The listing cursor is invalid."""

    code = "invalid_cursor"


class Unavailable(LakeError):
    """Temporary error; nothing was acknowledged, try again."""

    code = "unavailable"


class StoreUnavailable(Unavailable):
    """The object store did not answer, or answered with an error."""

    code = "store_unavailable"


class StoreDenied(StoreUnavailable):
    """The object store denied access to the role of this process."""

    code = "store_denied"


class RejectionsDenied(StoreDenied):
    """The object store denied the row of a rejection, but takes other objects."""

    code = "rejections_denied"


class StoreReadOnly(StoreUnavailable):
    """The folder of the store is on a read-only file system."""

    code = "store_read_only"


class StoreFull(Unavailable):
    """The object store has no room left."""

    code = "store_full"


class ImageExpiring(Unavailable):
    """The expired image of this identity is being removed; `value` is the wait in seconds."""

    code = "image_expiring"


class RecordDamaged(Unavailable):
    """The record of this identity does not parse; `value` is the wait in seconds."""

    code = "record_damaged"


class AttemptTooOld(Unavailable):
    """The upload attempt took longer than the limit in seconds."""

    code = "attempt_too_old"


class LakeHeld(Unavailable):
    """A new lake replaces the current one: rows wait in the journal, or it can't start yet."""

    code = "lake_held"


class ClaimKept(Unavailable):
    """A window that failed for long waits until the watermark has passed its hour."""

    code = "claim_kept"


class StoreUntrustworthy(LakeError):
    """The store does not provide the guarantees that the commit protocol needs."""

    code = "store_untrustworthy"


class StoreUnreachable(LakeError):
    """The check before a start failed: the store is missing, unreachable or denies access."""

    code = "store_unreachable"


class StoreMisused(LakeError):
    """The store is not the expected one; nothing was read or written."""

    code = "store_misused"


class StoreMissing(StoreMisused):
    """Missing store: nothing is at the location of the settings."""

    code = "store_missing"


class StoreContradicted(StoreMisused):
    """A setting of this process contradicts the store's."""

    code = "store_contradicted"


class StoreUndecided(StoreMisused):
    """An earlier version of Pixlake made the store; its retention must be set explicitly."""

    code = "store_undecided"


class StoreTooNew(StoreMisused):
    """A later version of Pixlake made the store."""

    code = "store_too_new"


class StoreTooOld(StoreMisused):
    """An unreleased version, before 0.1.0, made the store; there is no migration."""

    code = "store_too_old"


class UnreadableObject(LakeError):
    """A stored object does not parse; `value` is its key."""

    code = "unreadable_object"


class OldColumns(UnreadableObject):
    """A stored object has the column names of before 0.1.0; `value` is its key."""

    code = "old_columns"


class AlreadyExists(LakeError):
    """A create-only PUT failed: the key exists, or may exist."""

    code = "already_exists"


class Mismatch(LakeError):
    """A conditional overwrite found another ETag."""

    code = "mismatch"


class KeyMissing(LakeError):
    """Missing object: the store has nothing under this key."""

    code = "key_missing"
