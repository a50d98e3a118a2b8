"""Errors of batches: faults of an archive, and of its entries.

ApiError
  x MalformedArchive        malformed_archive       limit, value: bytes or records
  x TruncatedArchive        truncated_archive
  x CompressedArchive       compressed_archive      value: the compression
  x EmptyBatch              empty_batch
  x TooManyItems            too_many_items          limit: files
  x InvalidName             invalid_name            limit, value: bytes, or the name
  x DuplicateName           duplicate_name          value: the name
  x SpecialFile             special_file            value: type of the entry
  x UnsupportedEntry        unsupported_entry       value: type of the entry
"""

from serve_app.errors import ApiError


class MalformedArchive(ApiError):
    """A tar archive that does not follow the format."""

    code = "malformed_archive"


class TruncatedArchive(ApiError):
    """A tar archive that ends before its end."""

    code = "truncated_archive"


class CompressedArchive(ApiError):
    """A compressed tar archive, which is not supported."""

    code = "compressed_archive"


class EmptyBatch(ApiError):
    """A batch without files."""

    code = "empty_batch"


class TooManyItems(ApiError):
    """A batch with more files than the limit."""

    code = "too_many_items"


class InvalidName(ApiError):
    """A name of a file in a batch that is a path to another place, too long or unreadable."""

    code = "invalid_name"


class DuplicateName(ApiError):
    """A second file of the same name in a batch."""

    code = "duplicate_name"


class SpecialFile(ApiError):
    """An entry of an archive that is a link, a device or a pipe."""

    code = "special_file"


class UnsupportedEntry(ApiError):
    """An entry of an archive that is sparse or of an unknown type."""

    code = "unsupported_entry"
