"""Settings of processing: what an image may be, and what a child may take for it."""

import os
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from processors.machine import memory_limit

FormatName = Literal["jpeg", "png", "webp", "gif", "avif", "heic", "tiff", "bmp"]
"""Every format that can be taken."""

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


class Limits(BaseModel):
    """What an image may be; checked on its bytes and header, before any pixel is decoded.

    But for `damaged`: whether a JPEG that libjpeg had to guess at is marked or refused; and
    `codes`, `faces`: whether QR and bar codes are read, faces counted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_bytes: int = Field(default=25_000_000, ge=1, le=1_000_000_000)
    max_pixels: int = Field(default=50_000_000, ge=1, le=1_000_000_000)
    max_side: int = Field(default=16_384, ge=1, le=65_535)
    max_output_pixels: int = Field(default=50_000_000, ge=1, le=1_000_000_000)
    max_metadata_bytes: int = Field(default=25_000_000, ge=0, le=1_000_000_000)
    max_scan_pixels: int = Field(default=2_500_000_000, ge=1, le=1_000_000_000_000)
    formats: frozenset[FormatName] = frozenset(FORMAT_NAMES)
    damaged: Literal["mark", "refuse"] = "mark"
    codes: bool = False
    faces: bool = False


# Measured on 50-megapixel files of every format, preset `web`: a child at rest, then bytes a pixel.
# AVIF takes 15.7, TIFF 13, GIF and transparent PNG 11, progressive JPEG 3.2, JPEG 0.5.
_CHILD_BYTES = 120_000_000
_BYTES_A_PIXEL = 16
# What Pixlake takes beside children, and what one child takes by default.
_REST_BYTES = 3_200_000_000
_DEFAULT_CHILD_BYTES = 945_000_000
_SANDBOXES = 2

KEPT_CHILD_BYTES = 120_000_000
"""The most memory of an idle child that is kept for its tenant beside those at work."""


def _children() -> int:
    """One per core, as long as two sandboxes of them fit: one a door, as `pixlake up` has."""
    fitting = (memory_limit() - _REST_BYTES) // (_SANDBOXES * _DEFAULT_CHILD_BYTES)
    return max(1, min(len(os.sched_getaffinity(0)), fitting))


class ProcessorSettings(BaseSettings):
    """Read once at the top of a process and passed down; environment variables `PIXLAKE_…`."""

    model_config = SettingsConfigDict(env_prefix="PIXLAKE_", frozen=True, extra="ignore")

    max_bytes: int = Field(
        default=25_000_000, ge=1, le=1_000_000_000, description="largest image taken, in bytes"
    )
    max_pixels: int = Field(
        default=50_000_000,
        ge=1,
        le=1_000_000_000,
        description="largest image taken, in pixels: width x height x frames",
    )
    max_side: int = Field(
        default=16_384, ge=1, le=65_535, description="largest width or height taken, in pixels"
    )
    max_output_pixels: int = Field(
        default=50_000_000,
        ge=1,
        le=1_000_000_000,
        description="largest rendition made, in pixels: width x height",
    )
    # As much as `max_bytes`: heat cameras' readings and maker notes are 10 MB, and none of it is
    # kept but what becomes columns.
    max_metadata_bytes: int = Field(
        default=25_000_000,
        ge=0,
        le=1_000_000_000,
        description="most EXIF, XMP, ICC, comments and text together that an image may carry, "
        "in bytes",
    )
    # Each scan visits every pixel. Encoders write 10; 50 of 50 megapixels take 1.5 s.
    max_scan_pixels: int = Field(
        default=2_500_000_000,
        ge=1,
        le=1_000_000_000_000,
        description="most scans of a progressive JPEG times its pixels",
    )
    damaged: Literal["mark", "refuse"] = Field(
        default="mark",
        description="a JPEG with a damaged scan: taken and marked, or refused as `damaged`",
    )
    codes: bool = Field(
        default=False,
        description="read QR and bar codes into the column `codes`; adds 5 to 30 ms to an image",
    )
    faces: bool = Field(
        default=False,
        description="count faces into the column `faces`; adds 5 to 20 ms to an image",
    )
    gps_tenants: str = Field(
        default="",
        max_length=100_000,
        description="tenants whose images' places (EXIF GPS) become columns: names with commas "
        "between them, or `*` for all; the original file keeps its own whatever this says",
    )
    allow_jpeg: bool = Field(default=True, description="take JPEG")
    allow_png: bool = Field(default=True, description="take PNG")
    allow_webp: bool = Field(default=True, description="take WebP")
    allow_gif: bool = Field(default=True, description="take GIF")
    allow_avif: bool = Field(default=True, description="take AVIF")
    allow_heic: bool = Field(
        default=True,
        description="take HEIC, where the extra `heif` is installed; its children may start "
        "threads, which its decoder can't do without",
    )
    allow_tiff: bool = Field(default=True, description="take TIFF")
    allow_bmp: bool = Field(default=True, description="take BMP")
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
        description="processor time for one image, in seconds; then its child is killed",
    )
    sandbox_wall_seconds: float = Field(
        default=45,
        gt=0,
        le=3600,
        description="when an image is given up that did not get its processor time, in seconds by "
        "the clock; the sender is told to try again",
    )
    # The imports take 300 MB of addresses; a 50-megapixel GIF, the dearest image, 600 MB.
    sandbox_memory_bytes: int = Field(
        default=1_200_000_000, ge=600_000_000, description="address space of one child, in bytes"
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
        description="idle children of other tenants that are kept beside those at work, for many "
        "tenants with small images; each takes 10 to 30 MB after photographs, 120 at most",
    )
    sandbox_require_seccomp: bool = Field(
        default=False,
        description="refuse to start where the kernel cannot filter the system calls of children",
    )
    preset_cache_seconds: float = Field(
        default=10,
        ge=0,
        le=3600,
        description="how long the newest version of a stored preset is trusted to be that, seconds",
    )

    def keeps_gps(self, tenant: str) -> bool:
        """True if the place where an image of that tenant was taken may become columns."""
        named = {each.strip() for each in self.gps_tenants.split(",")}
        return tenant in named or "*" in named

    @property
    def child_bytes(self) -> int:
        """The most memory that a child takes for an image within the limits, its file included.

        Less than the address space that it may have: most addresses are libraries, of which it
        touches a part and shares that with its siblings.
        """
        needed = _CHILD_BYTES + _BYTES_A_PIXEL * max(self.max_pixels, self.max_output_pixels)
        return min(needed, self.sandbox_memory_bytes) + self.max_bytes

    @property
    def kept_bytes(self) -> int:
        """The most memory that children take together that are kept for their tenants."""
        return self.sandbox_kept * KEPT_CHILD_BYTES

    @property
    def limits(self) -> Limits:
        """The limits on an image, without the rest."""
        return Limits(
            max_bytes=self.max_bytes,
            max_pixels=self.max_pixels,
            max_side=self.max_side,
            max_output_pixels=self.max_output_pixels,
            max_metadata_bytes=self.max_metadata_bytes,
            max_scan_pixels=self.max_scan_pixels,
            formats=frozenset(
                name for name in FORMAT_NAMES if getattr(self, f"allow_{name}") is True
            ),
            damaged=self.damaged,
            codes=self.codes,
            faces=self.faces,
        )
