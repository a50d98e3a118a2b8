"""Errors of the HTTP API, and the table from error codes to problem+json answers (RFC 9457).

ApiError
  x Unauthorized            unauthorized
  x Forbidden               forbidden               value: the scope that is missing
  x RateLimited             rate_limited            limit: requests, images or bytes a second
  x Standby                 standby                 value: the scope that a standby refuses
  x QuotaExceeded           quota_exceeded          limit, value: images or bytes of a day
  x MissingBody             missing_body
  x UnsupportedMediaType    unsupported_media_type  value: the content type sent
  x UnsupportedContentEncoding  unsupported_content_encoding  value: the coding sent
  x MalformedMultipart      malformed_multipart
  x BodyTimeout             body_timeout            limit: seconds, or bytes a second
  x AnswerTimeout           answer_timeout          limit: seconds
  x HeadersTooLarge         headers_too_large       limit, value: bytes
  x InvalidRequest          invalid_request
  x InvalidMetadata         invalid_metadata        limit, value: entries or bytes
  x InvalidIdempotencyKey   invalid_idempotency_key limit, value: characters
  x InvalidChecksum         invalid_checksum        value: the header
  x ChecksumMismatch        checksum_mismatch       value: checksum of the received body
  x PreconditionFailed      precondition_failed     value: the If-Match sent
  x RangeNotSatisfiable     range_not_satisfiable   limit: bytes
  x PresetNotFound          preset_not_found        value: its name

`serve_app/batch/errors.py` has those of batches. `PROBLEMS` is the only place where a code gets its
HTTP status.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from lake.errors import CodedError


class ApiError(CodedError):
    """The API itself refuses the request; `limit` is the exceeded limit, if there is one."""

    code = "invalid_request"


class Unauthorized(ApiError):
    """The API key is missing, unknown or revoked."""

    code = "unauthorized"


class Forbidden(ApiError):
    """The API key is valid but lacks the scope."""

    code = "forbidden"


class RateLimited(ApiError):
    """A key or tenant sends more requests, images or bytes a second than the limit."""

    code = "rate_limited"


class Standby(ApiError):
    """Change refused by a standby region, which serves images; only the leader changes them."""

    code = "standby"


class QuotaExceeded(ApiError):
    """A key or tenant has used its images or bytes of the day (UTC)."""

    code = "quota_exceeded"


class MissingBody(ApiError):
    """An upload without a body, or a form without a `file` part."""

    code = "missing_body"


class UnsupportedMediaType(ApiError):
    """A Content-Type that uploads do not support."""

    code = "unsupported_media_type"


class UnsupportedContentEncoding(ApiError):
    """A body with a content coding such as gzip, which is not supported."""

    code = "unsupported_content_encoding"


class MalformedMultipart(ApiError):
    """A form that does not follow RFC 7578, or that has unknown or repeated fields."""

    code = "malformed_multipart"


class BodyTimeout(ApiError):
    """The body paused or took longer than the limit in seconds, or its rate was too low."""

    code = "body_timeout"


class AnswerTimeout(ApiError):
    """The upload took longer than the limit in seconds; a retry finds it once it is stored."""

    code = "answer_timeout"


class HeadersTooLarge(ApiError):
    """The headers have more bytes than the limit."""

    code = "headers_too_large"


class InvalidRequest(ApiError):
    """A parameter or header is unknown, repeated or does not parse."""

    code = "invalid_request"


class InvalidMetadata(ApiError):
    """The client's metadata is malformed or exceeds a limit."""

    code = "invalid_metadata"


class InvalidIdempotencyKey(ApiError):
    """An `Idempotency-Key` that is empty, too long or not printable ASCII."""

    code = "invalid_idempotency_key"


class InvalidChecksum(ApiError):
    """A checksum header that does not parse or is not supported."""

    code = "invalid_checksum"


class ChecksumMismatch(ApiError):
    """The body does not match the client's checksum."""

    code = "checksum_mismatch"


class PreconditionFailed(ApiError):
    """An `If-Match` that names another version."""

    code = "precondition_failed"


class RangeNotSatisfiable(ApiError):
    """A range that starts after the last byte of the image."""

    code = "range_not_satisfiable"


class PresetNotFound(ApiError):
    """No preset has this name or this version."""

    code = "preset_not_found"


@dataclass(frozen=True, slots=True)
class Problem:
    """HTTP answer for an error code; `retry_after` in seconds."""

    status: int
    title: str
    retry_after: int | None = None
    internal: bool = False
    """True for a server fault; its details (keys, addresses) go to the log only"""


PROBLEMS: Mapping[str, Problem] = {
    # the request
    "unauthorized": Problem(401, "An API key is needed"),
    "forbidden": Problem(403, "The API key may not do this"),
    "tenant_suspended": Problem(403, "The tenant is suspended"),
    "rate_limited": Problem(429, "Too much in a second", retry_after=1),
    "standby": Problem(503, "This region is a standby", retry_after=60),
    "quota_exceeded": Problem(429, "The quota of the day is used up", retry_after=3600),
    "not_found": Problem(404, "This path does not exist"),
    "method_not_allowed": Problem(405, "This method is not allowed here"),
    "invalid_request": Problem(422, "The request has an invalid parameter"),
    "invalid_account": Problem(422, "The account is invalid"),
    "key_not_found": Problem(404, "There is no such API key"),
    "tenant_not_found": Problem(404, "There is no such tenant"),
    "headers_too_large": Problem(431, "The headers are too large"),
    "client_disconnected": Problem(400, "The client disconnected before its body was complete"),
    # the body
    "missing_body": Problem(400, "There is no image in the request"),
    "empty_body": Problem(400, "The image has no bytes"),
    "malformed_multipart": Problem(400, "The form is malformed"),
    "malformed_archive": Problem(400, "The archive is malformed"),
    "truncated_archive": Problem(400, "The archive is truncated"),
    "compressed_archive": Problem(415, "Compressed archives are not supported"),
    "empty_batch": Problem(400, "There is no file in the batch"),
    "too_many_items": Problem(413, "The batch has too many files"),
    "invalid_name": Problem(422, "The name of the file is refused"),
    "duplicate_name": Problem(422, "The batch has two files of this name"),
    "special_file": Problem(422, "The entry is a link, a device or a pipe"),
    "unsupported_entry": Problem(422, "The entry is of an unsupported type"),
    "unsupported_media_type": Problem(415, "This content type is not supported"),
    "unsupported_content_encoding": Problem(415, "Content codings are not supported"),
    "body_timeout": Problem(408, "The body came too slowly"),
    "too_many_bytes": Problem(413, "The image has too many bytes"),
    "invalid_checksum": Problem(400, "The checksum can't be verified"),
    "checksum_mismatch": Problem(400, "The body does not match its checksum"),
    # parameters of the image
    "unknown_preset": Problem(422, "There is no such preset"),
    "invalid_preset": Problem(422, "The preset is invalid"),
    "invalid_metadata": Problem(422, "The metadata is invalid"),
    "invalid_idempotency_key": Problem(422, "The idempotency key is invalid"),
    "idempotency_conflict": Problem(409, "This identity belongs to another image"),
    "refused_before": Problem(422, "The message was refused before"),
    "message_expired": Problem(422, "The message is older than the retention"),
    # the image itself
    "not_an_image": Problem(415, "This is not an image"),
    "unsupported_format": Problem(415, "This image format is not supported"),
    "refused": Problem(422, "The image was refused"),
    "truncated": Problem(422, "The image is truncated"),
    "undecodable": Problem(422, "The image can't be decoded"),
    "too_many_pixels": Problem(422, "The image has too many pixels"),
    "too_many_frames": Problem(422, "The image has too many frames or pages"),
    "side_too_long": Problem(422, "The image is too wide or too high"),
    "too_many_scans": Problem(422, "The JPEG has too many scans for its size"),
    "too_much_metadata": Problem(422, "The image carries too much metadata"),
    "output_too_large": Problem(422, "A rendition of the image would be too large"),
    "too_much_work": Problem(422, "The preset costs too much for an image of this size"),
    "damaged": Problem(422, "The image is damaged"),
    "decoder_crashed": Problem(422, "The image crashed its decoder"),
    "decoder_timeout": Problem(422, "The image took too long to decode"),
    "decoder_memory": Problem(422, "The image takes too much memory to decode"),
    "unstorable_row": Problem(422, "The image's values do not fit into a row"),
    # presets
    "preset_not_found": Problem(404, "There is no such preset"),
    "preset_built_in": Problem(409, "A built-in preset can't be overwritten"),
    "preset_shared": Problem(409, "All tenants share a preset of this name"),
    "too_many_presets": Problem(409, "The tenant has too many presets"),
    "preset_changed": Problem(412, "The preset has another version by now"),
    "presets_read_only": Problem(403, "This deployment stores no presets by HTTP"),
    # reading
    "image_not_found": Problem(404, "There is no such image"),
    "image_erased": Problem(410, "The image was erased"),
    "query_failed": Problem(400, "The SQL statement failed"),
    "time_jumped": Problem(503, "The store's clock jumped by a day or more", retry_after=3600),
    "no_lifecycle": Problem(501, "The store has no lifecycle rules"),
    "no_new_lake": Problem(404, "There is no new lake"),
    "image_expired": Problem(410, "The image is past its retention"),
    "invalid_cursor": Problem(422, "The cursor is invalid"),
    "precondition_failed": Problem(412, "The image is another version"),
    "range_not_satisfiable": Problem(416, "The range is not within the image"),
    # server faults; the client may try again
    "overloaded": Problem(503, "The server is overloaded", retry_after=1),
    "image_expiring": Problem(503, "The expired image is being removed", retry_after=120),
    "unavailable": Problem(503, "The store is unavailable", retry_after=2, internal=True),
    "store_unavailable": Problem(503, "The store is unavailable", retry_after=2, internal=True),
    "store_denied": Problem(503, "The store is unavailable", retry_after=60, internal=True),
    "rejections_denied": Problem(503, "The store is unavailable", retry_after=60, internal=True),
    "store_read_only": Problem(503, "The store is read-only", retry_after=60, internal=True),
    "answer_timeout": Problem(503, "The upload takes too long", retry_after=5),
    "record_damaged": Problem(503, "The record is damaged", retry_after=300),
    "attempt_too_old": Problem(503, "The upload took too long", retry_after=1),
    "lake_held": Problem(503, "A new lake takes over", retry_after=1800),
    "claim_kept": Problem(503, "The window waits for the watermark", retry_after=1800),
    "accounts_unavailable": Problem(503, "Keys can't be checked", retry_after=2, internal=True),
    "store_full": Problem(507, "The store is full", retry_after=60, internal=True),
    # server faults; trying again does not help
    "internal": Problem(500, "Internal error", internal=True),
    "processor_error": Problem(500, "Internal error", internal=True),
    "lake_error": Problem(500, "Internal error", internal=True),
    "accounts_error": Problem(500, "Internal error", internal=True),
    "store_untrustworthy": Problem(500, "The store can't be trusted", internal=True),
    "store_misused": Problem(500, "The store is not as expected", internal=True),
    "store_missing": Problem(500, "There is no store", internal=True),
    "store_contradicted": Problem(500, "The store has other settings", internal=True),
    "store_undecided": Problem(500, "The store does not say its retention", internal=True),
    "store_too_new": Problem(500, "The store is of a later version", internal=True),
    "store_too_old": Problem(500, "The store was made before 0.1.0", internal=True),
    "store_change_refused": Problem(409, "The store's settings can't be changed like that"),
    "unreadable_object": Problem(500, "A stored object is unreadable", internal=True),
    "old_columns": Problem(500, "A stored object was written before 0.1.0", internal=True),
    "already_exists": Problem(500, "Internal error", internal=True),
    "mismatch": Problem(500, "Internal error", internal=True),
    "key_missing": Problem(500, "Internal error", internal=True),
}
"""Error codes and their HTTP answers. 413 and 415: faults that a client can detect before it sends.
422: faults that appear only when the image is read. 429, 503 and 507 have a Retry-After header."""

PROXY_CODES: Mapping[str, int] = {
    "bad_request": 400,
    "missing_host": 400,
    "no_answer": 504,
    "not_ready": 503,
    "replica_lost": 502,
    "request_timeout": 408,
    "too_many_refusals": 429,
    "too_many_requests": 429,
}
"""Further codes and their status, of answers that HAProxy gives by itself (`pixlake_server`)."""
