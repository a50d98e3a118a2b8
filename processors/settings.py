"""Settings of processing: limits of images, and resources of child processes."""

import os
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from lake.layout import TENANT
from processors.machine import memory_limit

FormatName = Literal["jpeg", "png", "webp", "gif", "avif", "heic", "tiff", "bmp"]
"""Names of all input formats."""

FORMAT_NAMES: tuple[FormatName, ...] = (
    "jpeg",
    "png",
    "webp",
    "gif",
    "avif",
    "heic",
    "tiff",
    "bmp",
)


DEFAULT_MAX_BYTES = 25_000_000
"""Largest image, in bytes, that HTTP API, Kafka consumer and sandbox accept by default."""
_DEFAULT_OUTPUT_BYTES = 64_000_000


class ImageLimits(BaseModel):
    """Limits of an image that are settings; bytes and header are checked before any decoding.

    Three fields are options: `damaged` marks or refuses a damaged image; `codes` reads QR and bar
    codes; `faces` counts faces.
    """

    max_bytes: int = Field(
        default=DEFAULT_MAX_BYTES,
        ge=1,
        le=1_000_000_000,
        description="largest accepted image, in bytes",
    )
    max_pixels: int = Field(
        default=50_000_000,
        ge=1,
        le=1_000_000_000,
        description="largest accepted image, in pixels: width x height x frames",
    )
    max_side: int = Field(
        default=16_384, ge=1, le=65_535, description="largest accepted width or height, in pixels"
    )
    max_output_pixels: int = Field(
        default=50_000_000,
        ge=1,
        le=1_000_000_000,
        description="largest rendition, in pixels: width x height",
    )
    # The parent holds the renditions in memory. A photograph of 21 megapixels is 64 MB as a PNG.
    max_output_bytes: int = Field(
        default=_DEFAULT_OUTPUT_BYTES,
        ge=1,
        le=1_000_000_000,
        description="largest size of all renditions of an image together, in bytes",
    )
    # The same as the processor time limit of an image: a more expensive preset could not finish.
    max_work_seconds: float = Field(
        default=10,
        gt=0,
        le=600,
        description="highest price of all operations and encoders of a preset for an image, in "
        "seconds of a core, by fixed prices a megapixel (docs/presets.md)",
    )
    # The same as `max_bytes`: data of thermal cameras and maker notes can be 10 MB. Only the parts
    # that become columns are kept.
    max_metadata_bytes: int = Field(
        default=DEFAULT_MAX_BYTES,
        ge=0,
        le=1_000_000_000,
        description="largest size of EXIF, XMP, ICC, comments and text in an image together, "
        "in bytes",
    )
    # Each scan visits every pixel. Encoders write 10; 50 of 50 megapixels take 1.5 s.
    max_scan_pixels: int = Field(
        default=2_500_000_000,
        ge=1,
        le=1_000_000_000_000,
        description="largest number of scans of a progressive JPEG times its pixels",
    )
    damaged: Literal["mark", "refuse"] = Field(
        default="mark",
        description="damaged images: `mark` accepts and marks them, `refuse` refuses them as "
        "`damaged`",
    )
    codes: bool = Field(
        default=False,
        description="read QR and bar codes into the column `codes`; adds 5 to 30 ms to an image",
    )
    faces: bool = Field(
        default=False,
        description="count faces into the column `faces`; adds 5 to 20 ms to an image",
    )


class Limits(ImageLimits):
    """Limits of an image, as a child gets them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    formats: frozenset[FormatName] = frozenset(FORMAT_NAMES)


# Memory of an idle child, and bytes a pixel of the worst images; measured. AVIF of 12 bits with
# alpha needs 42 bytes a pixel, noise with alpha as WebP 39, AVIF 15.7, TIFF 13, GIF and transparent
# PNG 11, progressive JPEG 3.2, JPEG 0.5.
_CHILD_BYTES = 120_000_000
_BYTES_A_PIXEL = 48
# Address space of a child that uses no memory: libraries. Measured: 290 MB of 1.2 GB.
_UNTOUCHED_BYTES = 280_000_000
_LEAST_ADDRESS_BYTES = 600_000_000
# Memory of Pixlake without children, and of one child with default limits.
_REST_BYTES = 3_200_000_000
_DEFAULT_CHILD_BYTES = 945_000_000
_SANDBOXES = 2

KEPT_CHILD_BYTES = 120_000_000
"""Largest memory of an idle child that is kept for its tenant (`sandbox_kept`)."""


def _children() -> int:
    """Default number of children: one per core, fewer if memory is short.

    `pixlake up` runs two sandboxes, so the memory must suffice for both.
    """
    beside = _REST_BYTES + _SANDBOXES * _DEFAULT_OUTPUT_BYTES
    each = _SANDBOXES * (_DEFAULT_CHILD_BYTES + _DEFAULT_OUTPUT_BYTES)
    fitting = (memory_limit() - beside) // each
    return max(1, min(len(os.sched_getaffinity(0)), fitting))


class ProcessorSettings(ImageLimits, BaseSettings):
    """Settings from environment variables `PIXLAKE_…`, read once at the start of a process."""

    model_config = SettingsConfigDict(
        env_prefix="PIXLAKE_",
        env_ignore_empty=True,
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
    )

    gps_tenants: str = Field(
        default="",
        max_length=100_000,
        description="tenants whose images' positions (EXIF GPS) become columns: names separated "
        "by commas, or `*` for all; the original file is stored unchanged",
    )
    allow_jpeg: bool = Field(default=True, description="accept JPEG")
    allow_png: bool = Field(default=True, description="accept PNG")
    allow_webp: bool = Field(default=True, description="accept WebP")
    allow_gif: bool = Field(default=True, description="accept GIF")
    allow_avif: bool = Field(default=True, description="accept AVIF")
    allow_heic: bool = Field(
        default=True,
        description="accept HEIC, if the extra `heif` is installed; its children may start "
        "threads, which its decoder needs",
    )
    allow_tiff: bool = Field(default=True, description="accept TIFF")
    allow_bmp: bool = Field(default=True, description="accept BMP")
    sandbox_children: int = Field(
        default_factory=_children,
        ge=1,
        le=256,
        description="images processed at once, each in a child process; default: one per core, "
        "fewer where memory is short",
    )
    sandbox_queue: int = Field(
        default=64, ge=0, le=10_000, description="images that may wait for a child"
    )
    sandbox_timeout_seconds: float = Field(
        default=10,
        gt=0,
        le=600,
        description="longest processor time of one image, in seconds; then its child is killed",
    )
    sandbox_wall_seconds: float = Field(
        default=45,
        gt=0,
        le=3600,
        description="longest wall clock time of one image, in seconds; then its child is killed "
        "and the sender is told to try again. Time in which the child waits for a processor is "
        "added, up to nine times the limit",
    )
    # The imports take 300 MB of address space; a 50-megapixel GIF, the worst image, 600 MB.
    sandbox_memory_bytes: int = Field(
        default=1_200_000_000,
        ge=_LEAST_ADDRESS_BYTES,
        description="address space of one child, in bytes; lower pixel limits reduce it",
    )
    sandbox_recycle_after: int = Field(
        default=500,
        ge=1,
        description="images of one tenant that a child processes before it is replaced",
    )
    sandbox_spares: int = Field(
        default=2,
        ge=0,
        le=64,
        description="children that are started ahead, for the next tenant or the next image that "
        "needs a new one",
    )
    sandbox_kept: int = Field(
        default=0,
        ge=0,
        le=1_000,
        description="idle children of other tenants that are kept, useful for many tenants with "
        "small images; each takes 10 to 30 MB after photographs, 120 at most",
    )
    sandbox_require_seccomp: bool = Field(
        default=False,
        description="refuse to start where the kernel cannot filter the system calls of children",
    )
    preset_cache_seconds: float = Field(
        default=10,
        ge=0,
        le=3600,
        description="how long the newest version of a stored preset is cached, in seconds",
    )

    @field_validator("gps_tenants")
    @classmethod
    def _are_tenants(cls, text: str) -> str:
        for name in (each.strip() for each in text.split(",")):
            if name not in {"", "*"} and TENANT.fullmatch(name) is None:
                raise ValueError(f"{name!r} is no tenant; a tenant's name is {TENANT.pattern}")
        return text

    def keeps_gps(self, tenant: str) -> bool:
        """True if the GPS position of that tenant's images may become columns."""
        named = {each.strip() for each in self.gps_tenants.split(",")}
        return tenant in named or "*" in named

    @property
    def child_bytes(self) -> int:
        """Largest memory of a child for an image within the limits, the file included.

        This memory is less than the child's address space: most of the address space is libraries,
        which the children share and use only in part.
        """
        return min(self._needed_bytes, self.address_bytes - _UNTOUCHED_BYTES) + self.max_bytes

    @property
    def address_bytes(self) -> int:
        """Address space of a child without the file: the setting, or less for low pixel limits.

        With lower pixel limits, a child that was taken over can use less memory, too.
        """
        needed = self._needed_bytes + _UNTOUCHED_BYTES
        return min(self.sandbox_memory_bytes, max(needed, _LEAST_ADDRESS_BYTES))

    @property
    def _needed_bytes(self) -> int:
        return _CHILD_BYTES + _BYTES_A_PIXEL * max(self.max_pixels, self.max_output_pixels)

    @property
    def results_bytes(self) -> int:
        """Largest size of renditions in a sandbox's process that wait to be stored.

        The factor is the number of children plus one, because no image is started while the
        renditions of one image wait.
        """
        return (self.sandbox_children + 1) * self.max_output_bytes

    @property
    def kept_bytes(self) -> int:
        """Largest memory of all children that are kept for their tenants, together."""
        return self.sandbox_kept * KEPT_CHILD_BYTES

    @property
    def limits(self) -> Limits:
        """Limits of an image, without the other settings."""
        shared = {name: getattr(self, name) for name in ImageLimits.model_fields}
        formats = {name for name in FORMAT_NAMES if getattr(self, f"allow_{name}") is True}
        return Limits(**shared, formats=frozenset(formats))
