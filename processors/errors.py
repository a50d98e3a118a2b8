"""Errors of processing, without HTTP status or Kafka verdict; each caller maps them.

ProcessorError
  x Refused                 fault of the image: the same bytes fail again, never retry
      · EmptyImage            empty_body
      · NotAnImage            not_an_image
      · UnsupportedFormat     unsupported_format
      · Truncated             truncated
      · Undecodable           undecodable
      · TooManyBytes          too_many_bytes         limit, value: bytes
      · TooManyPixels         too_many_pixels        limit, value: pixels x frames
      · TooManyFrames         too_many_frames        limit: frames or pages
      · SideTooLong           side_too_long          limit, value: pixels
      · TooManyScans          too_many_scans         limit, value: scans of a JPEG
      · TooMuchMetadata       too_much_metadata      limit, value: bytes
      · OutputTooLarge        output_too_large       limit, value: pixels
      · TooMuchWork           too_much_work          limit, value: seconds of a core, as priced
      · Damaged               damaged                only if the settings refuse damaged images
      · UnknownPreset         unknown_preset
      · InvalidPreset         invalid_preset         limit, value: bytes
      · DecoderCrashed        decoder_crashed
      · DecoderTimeout        decoder_timeout        limit: seconds of processor time
      · DecoderMemory         decoder_memory         limit: bytes of address space
  x PresetChanged           preset_changed         value: the newest version
  x PresetBuiltIn           preset_built_in
  x PresetShared            preset_shared
  x TooManyPresets          too_many_presets       limit, value: presets of a tenant
  x PresetsReadOnly         presets_read_only      this process's role may not write presets
  x Overloaded              overloaded             temporary; the caller may try again
  x ProcessingFailed        internal               an unexpected exception, in a batch only

Every error carries a stable `code` and survives pickling, because errors cross Ray processes.
"""

from lake.errors import CodedError


class ProcessorError(CodedError):
    """Base class of all errors of processing."""

    code = "processor_error"


class Refused(ProcessorError):
    """The image is at fault: the same bytes will be refused again."""

    code = "refused"


class EmptyImage(Refused):
    """The image has no bytes."""

    code = "empty_body"


class NotAnImage(Refused):
    """No image format starts with these bytes."""

    code = "not_an_image"


class UnsupportedFormat(Refused):
    """The format, or a feature of the file, is not supported or not allowed; `value` names it."""

    code = "unsupported_format"


class Truncated(Refused):
    """The file ends before its pixels do."""

    code = "truncated"


class Undecodable(Refused):
    """The file does not parse or its pixels do not decode."""

    code = "undecodable"


class TooManyBytes(Refused):
    """The image has more bytes than the limit."""

    code = "too_many_bytes"


class TooManyPixels(Refused):
    """The image has more pixels, over all frames, than the limit."""

    code = "too_many_pixels"


class TooManyFrames(Refused):
    """The image has more frames or pages than the limit."""

    code = "too_many_frames"


class SideTooLong(Refused):
    """Width or height is over the limit."""

    code = "side_too_long"


class TooManyScans(Refused):
    """The JPEG has more scans than the limit allows for its size."""

    code = "too_many_scans"


class TooMuchMetadata(Refused):
    """EXIF, XMP, ICC, comments and text have more bytes together than the limit."""

    code = "too_much_metadata"


class OutputTooLarge(Refused):
    """A rendition would have more pixels than the limit, or a side too long for its format."""

    code = "output_too_large"


class TooMuchWork(Refused):
    """The preset's operations and renditions cost more for an image of this size than the limit."""

    code = "too_much_work"


class Damaged(Refused):
    """The decoder had to guess a part of the pixels; `value` is the decoder's warning."""

    code = "damaged"


class UnknownPreset(Refused):
    """No preset has this name; `value` is the name."""

    code = "unknown_preset"


class InvalidPreset(Refused):
    """The preset does not parse, or exceeds a limit."""

    code = "invalid_preset"


class PresetChanged(ProcessorError):
    """The preset's newest version is not the version that the caller named; `value`: the newest."""

    code = "preset_changed"


class PresetBuiltIn(ProcessorError):
    """A built-in preset can't be overwritten."""

    code = "preset_built_in"


class PresetShared(ProcessorError):
    """All tenants share a preset of this name, so a tenant can't take the name."""

    code = "preset_shared"


class TooManyPresets(ProcessorError):
    """The tenant owns as many presets as it may."""

    code = "too_many_presets"


class PresetsReadOnly(ProcessorError):
    """The role of this process may read presets in the store, not write them."""

    code = "presets_read_only"


class DecoderCrashed(Refused):
    """The child process died while it processed this image."""

    code = "decoder_crashed"


class DecoderTimeout(Refused):
    """The child used more processor time than the limit, or slept until the wall clock limit."""

    code = "decoder_timeout"


class DecoderMemory(Refused):
    """The child needed more address space than the limit in bytes."""

    code = "decoder_memory"


class Overloaded(ProcessorError):
    """Every child is busy and the queue is full; try again."""

    code = "overloaded"


class ProcessingFailed(ProcessorError):
    """An unexpected exception: 500 over HTTP; a Kafka message is refused after several tries."""

    code = "internal"


def refusal_codes() -> frozenset[str]:
    """Return the codes of all refusals of an image."""
    return frozenset({Refused.code, *(kind.code for kind in Refused.__subclasses__())})
