"""Faults of the lake, low level: no HTTP status, no Kafka verdict; each door maps them.

LakeError
  x Verdict                  final for this image, never retry
      · IdempotencyConflict    idempotency_conflict   same identity, other content
      · ImageErased            image_erased           a tombstone holds the name
      · ImageExpired           image_expired          past its retention
      · ImageNotFound          image_not_found
      · RefusedBefore          refused_before         this very Kafka message was refused
      · UnstorableRow          unstorable_row         no row can say what the record says
      · InvalidCursor          invalid_cursor
  x Unavailable              ours; nothing is acknowledged, the caller may try again
      · StoreUnavailable       store_unavailable
          StoreDenied          store_denied           our role may not do this
          StoreReadOnly        store_read_only        its file system takes no writes
      · StoreFull              store_full
      · ImageExpiring          image_expiring         not yet free; `value`: seconds to wait
      · AttemptTooOld          attempt_too_old        limit: seconds
      · LakeHeld               lake_held              rows wait while a new lake takes over
  x StoreUntrustworthy       store_untrustworthy    the start-up probe caught it lying
  x StoreMisused             nothing is read or written
      · StoreMissing           store_missing          nothing there is a store
      · StoreContradicted      store_contradicted     limit: the store's setting, value: ours
      · StoreUndecided         store_undecided        an older store, whose retention nobody said
      · StoreTooNew            store_too_new          made by a later Pixlake
  x UnreadableObject         unreadable_object      an object of ours that does not parse

Inside the lake only (never shown to a door): AlreadyExists, Mismatch, KeyMissing.
Every error survives pickling (they cross Ray processes) and carries a stable `code`.
"""

from typing import ClassVar


class CodedError(Exception):
    """A fault with a stable code and, for limits, the limit and the measured value.

    Of whatever package; the ones above the lake take it from here.
    """

    code: ClassVar[str] = "error"

    def __init__(
        self,
        message: str,
        *,
        limit: float | None = None,
        value: float | str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.limit = limit
        self.value = value

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.message, self.limit, self.value)


def _rebuild(
    kind: type[CodedError],
    message: str,
    limit: float | None,
    value: float | str | None,
) -> CodedError:
    return kind(message, limit=limit, value=value)


class LakeError(CodedError):
    """A fault of the lake."""

    code = "lake_error"


class Verdict(LakeError):
    """Final for this image."""


class IdempotencyConflict(Verdict):
    """The identity is taken by other bytes, another preset or other metadata."""

    code = "idempotency_conflict"


class ImageErased(Verdict):
    """The image was erased; its name stays taken while the tombstone lives."""

    code = "image_erased"


class ImageExpired(Verdict):
    """The image is past its retention."""

    code = "image_expired"


class ImageNotFound(Verdict):
    """No such image for this tenant."""

    code = "image_not_found"


class RefusedBefore(Verdict):
    """This very message was refused when it was read before, and stays so."""

    code = "refused_before"


class UnstorableRow(Verdict):
    """No row of the lake can hold what was found in this image, so it is not stored."""

    code = "unstorable_row"


class InvalidCursor(Verdict):
    """The listing cursor is not one that we gave out."""

    code = "invalid_cursor"


class Unavailable(LakeError):
    """Nothing was acknowledged; try again."""

    code = "unavailable"


class StoreUnavailable(Unavailable):
    """The object store did not answer, or answered with a fault of its own."""

    code = "store_unavailable"


class StoreDenied(StoreUnavailable):
    """The object store says that our role may not do this."""

    code = "store_denied"


class StoreReadOnly(StoreUnavailable):
    """The folder of the store is on a file system that takes no writes."""

    code = "store_read_only"


class StoreFull(Unavailable):
    """The object store has no room left."""

    code = "store_full"


class ImageExpiring(Unavailable):
    """The old image of this identity is about to go; `value` is the seconds to wait."""

    code = "image_expiring"


class AttemptTooOld(Unavailable):
    """The attempt passed its age limit, in seconds, and gave up before its next PUT."""

    code = "attempt_too_old"


class LakeHeld(Unavailable):
    """A new lake takes over: rows wait in the journal, or it may not take over yet."""

    code = "lake_held"


class StoreUntrustworthy(LakeError):
    """The store does not keep the promises that the commit protocol stands on."""

    code = "store_untrustworthy"


class StoreMisused(LakeError):
    """The store is not what the caller takes it for; nothing was read or written."""

    code = "store_misused"


class StoreMissing(StoreMisused):
    """There is no store where the settings say that it is."""

    code = "store_missing"


class StoreContradicted(StoreMisused):
    """A setting of this process is not that of the store."""

    code = "store_contradicted"


class StoreUndecided(StoreMisused):
    """A store of an earlier Pixlake, whose retention must be said by a person."""

    code = "store_undecided"


class StoreTooNew(StoreMisused):
    """The store was made by a later Pixlake."""

    code = "store_too_new"


class UnreadableObject(LakeError):
    """An object of ours that does not parse; `value` is its key."""

    code = "unreadable_object"


class AlreadyExists(LakeError):
    """A create-only PUT found the key taken (or could not tell: read it)."""

    code = "already_exists"


class Mismatch(LakeError):
    """A conditional overwrite found another ETag."""

    code = "mismatch"


class KeyMissing(LakeError):
    """No object under this key."""

    code = "key_missing"
