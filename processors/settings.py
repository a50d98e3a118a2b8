"""Settings of processing: what an image may be, and what a child may take for it."""

import os

from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Limits(BaseModel):
    """What an image may be; checked on its bytes and header, before any pixel is decoded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_bytes: int = Field(default=25_000_000, ge=1, le=1_000_000_000)
    max_pixels: int = Field(default=50_000_000, ge=1, le=1_000_000_000)
    max_side: int = Field(default=16_384, ge=1, le=65_535)


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
    sandbox_children: int = Field(
        default_factory=lambda: len(os.sched_getaffinity(0)),
        ge=1,
        le=256,
        description="images processed at once, each in a child process; default: one per core",
    )
    sandbox_queue: int = Field(
        default=64, ge=0, le=10_000, description="images that may wait for a child"
    )
    sandbox_timeout_seconds: float = Field(
        default=10, gt=0, le=600, description="wall clock for one image; then its child is killed"
    )
    # The imports take 300 MB of addresses; a 50-megapixel GIF, the dearest image, 600 MB.
    sandbox_memory_bytes: int = Field(
        default=1_200_000_000, ge=600_000_000, description="address space of one child, in bytes"
    )
    sandbox_recycle_after: int = Field(
        default=10_000, ge=1, description="images that a child processes before it is replaced"
    )
    sandbox_require_seccomp: bool = Field(
        default=False,
        description="refuse to start where the kernel cannot filter the system calls of children",
    )

    @property
    def limits(self) -> Limits:
        """The limits on an image, without the rest."""
        return Limits(max_bytes=self.max_bytes, max_pixels=self.max_pixels, max_side=self.max_side)
