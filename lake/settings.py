"""Settings of the lake: location, length of a window, retention."""

from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from lake.timing import TIMES

RETENTION_DAYS = 7
"""Retention of a new store, if the setting is not given."""


class LakeSettings(BaseSettings):
    """Settings from environment variables `PIXLAKE_…`, read once at the start of a process."""

    model_config = SettingsConfigDict(
        env_prefix="PIXLAKE_",
        env_ignore_empty=True,
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
    )

    home: Path = Field(default=Path(".pixlake"), description="folder of all data and state")
    store_url: str | None = Field(
        default=None,
        description="file:///folder, s3://bucket/prefix or memory://; default: `store` in home",
    )
    store_fsync: bool = Field(
        default=False,
        description="sync the files of a folder store to disk before an image is acknowledged, so "
        "that a power cut loses none; it costs four syncs of some milliseconds an image",
    )
    s3_endpoint: str | None = Field(
        default=None, description="address of an S3-compatible server; default: Amazon S3"
    )
    s3_region: str = Field(default="us-east-1", description="region of the bucket")
    s3_access_key_id: str | None = Field(
        default=None, description="fixed key; default: the AWS credential chain"
    )
    s3_secret_access_key: SecretStr | None = Field(
        default=None, description="secret of the fixed key"
    )
    cloudfront_distribution: str | None = Field(
        default=None,
        pattern="^[A-Z0-9]{8,32}$",
        description="id of the CloudFront distribution that serves renditions from the root of the "
        "store; erased images are invalidated there, and all images after a sweep; default: no "
        "invalidation",
    )
    window_seconds: int | None = Field(
        default=None,
        ge=1,
        le=3600,
        description="length of a window of a new store, in seconds; default: 60. It is kept "
        "in the store; later another value is refused, and `pixlake store set` changes it",
    )
    grace_seconds: int = Field(
        default=20, ge=1, le=600, description="wait after a window's end before it is sealed"
    )
    seal_interval_seconds: float = Field(
        default=5, gt=0, le=600, description="pause between two passes of a sealer"
    )
    retention_days: int | None = Field(
        default=None,
        ge=1,
        le=365,
        description="retention of images and rows of a new store, in days; default: "
        f"{RETENTION_DAYS}. Expired "
        "ones are hidden, then deleted. It is kept in the store; later another value is refused, "
        "and `pixlake store set` changes it",
    )
    sweep_margin_seconds: int | None = Field(
        default=None,
        ge=int(TIMES.shortest_sweep_margin.total_seconds()),
        le=7 * 86_400,
        description="time from expiry to deletion by the sweeper in a new store, in seconds; "
        "default: 3600, at least the 15 minutes of an attempt. It is kept in the store; later "
        "another value is refused, and `pixlake store set` changes it",
    )

    @field_validator("store_url")
    @classmethod
    def _store(cls, text: str | None) -> str | None:
        url = urlsplit(text or "memory:")
        if url.scheme == "file" and (url.netloc or not url.path):
            raise ValueError(f"{text!r} names no folder; write file:///folder, with three slashes")
        if url.scheme == "s3" and not url.netloc:
            raise ValueError(f"{text!r} names no bucket; write s3://bucket/prefix")
        if url.scheme not in {"file", "s3", "memory"}:
            raise ValueError(f"no store for {text!r}; write s3://bucket/prefix or file:///folder")
        return text

    @field_validator("s3_endpoint")
    @classmethod
    def _endpoint(cls, text: str | None) -> str | None:
        if text is not None:
            url = urlsplit(text)
            if url.scheme not in {"http", "https"} or not url.hostname:
                raise ValueError(f"{text!r} is no address; write https://host or http://host:port")
        return text

    @model_validator(mode="after")
    def _whole_key(self) -> Self:
        if (self.s3_access_key_id is None) != (self.s3_secret_access_key is None):
            raise ValueError(
                "set PIXLAKE_S3_ACCESS_KEY_ID and PIXLAKE_S3_SECRET_ACCESS_KEY together"
            )
        return self

    @property
    def location(self) -> str:
        """URL of the store, with the default applied."""
        return self.store_url or (self.home.resolve() / "store").as_uri()
