"""Settings of the HTTP API: address, limits of uploads, accounts."""

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from processors.settings import DEFAULT_MAX_BYTES

# Browsers send an origin without user, path and final slash, and without the usual port.
_ORIGIN = re.compile(
    r"https?://([a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(:[1-9]\d{0,4})?", re.ASCII
)


class ServeSettings(BaseSettings):
    """Settings from environment variables `PIXLAKE_…`, read once at the start of a process."""

    model_config = SettingsConfigDict(
        env_prefix="PIXLAKE_",
        env_ignore_empty=True,
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
    )

    home: Path = Field(default=Path(".pixlake"), description="folder of all data and state")
    http_host: str = Field(default="127.0.0.1", description="address that the API listens on")
    http_port: int = Field(default=8000, ge=1, le=65535, description="port of the API")
    database_url: SecretStr | None = Field(
        default=None,
        description="accounts, as postgresql://… or sqlite:///…; default: accounts.sqlite in home",
    )
    standby: bool = Field(
        default=False,
        description="true: another region leads this lake; images are served, and every request "
        "that changes something gets 503 `standby`",
    )
    kafka_consumer: bool = Field(
        default=True,
        description="false: no Kafka consumer runs in this cluster, and `/readyz` has no part "
        "`kafka`; only for clusters of `deploy/ecs`, whose stacks set it",
    )
    cache_url: SecretStr | None = Field(
        default=None,
        description="Valkey or Redis, as redis://… or rediss://… (TLS), with user and password; "
        "all processes of the API count limits and keep records there together; default: each "
        "counts by itself",
    )
    record_cache_seconds: float = Field(
        default=30,
        ge=0,
        le=300,
        description="how long a record that was read is kept in `PIXLAKE_CACHE_URL`, in seconds; "
        "0: records are read from the store only",
    )
    default_preset: str = Field(default="web", description="preset of an upload without a preset")
    max_bytes: int = Field(
        default=DEFAULT_MAX_BYTES, ge=1, description="largest image of an upload, in bytes"
    )
    body_idle_seconds: float = Field(
        default=30, gt=0, description="longest pause within an upload's body, in seconds"
    )
    body_total_seconds: float = Field(
        default=300, gt=0, description="longest time of an upload's whole body, in seconds"
    )
    body_min_rate: float = Field(
        default=1_000,
        gt=0,
        description="slowest average rate of an upload's body, in bytes a second; checked after "
        "the time of `PIXLAKE_BODY_IDLE_SECONDS`",
    )
    answer_seconds: float = Field(
        default=50,
        gt=0,
        description="longest time from the end of an upload's body to its answer, in seconds; "
        "then the answer is 503, the upload continues, and a retry finds it stored",
    )
    max_uploads: int = Field(
        default=128,
        ge=1,
        description="largest number of concurrent uploads in one process of the API; while several "
        "tenants or keys are active, each may use at most half",
    )
    max_upload_bytes: int = Field(
        default=256_000_000,
        ge=1,
        description="largest number of received bytes of all concurrent uploads in one process of "
        "the API; while several tenants or keys are active, each may use at most half",
    )
    key_requests_per_second: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="largest number of requests a second of one key: to all processes of the API "
        "with `PIXLAKE_CACHE_URL`, to one without; more get 429; default: no limit",
    )
    tenant_requests_per_second: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="largest number of requests a second of all keys of one tenant, counted as for "
        "one key; more get 429; default: no limit",
    )
    cors_origins: str = Field(
        default="",
        max_length=10_000,
        description="origins whose pages may use the API from a browser (CORS): addresses such as "
        "`https://app.example.com`, separated by commas; default: none",
    )
    address_connections: int = Field(
        default=500,
        ge=0,
        description="limit of connections of one client address while more than three quarters of "
        "HAProxy's connections are in use; 0: no limit, for a service behind a load balancer, "
        "whose addresses all clients share",
    )
    key_cache_seconds: float = Field(
        default=5,
        ge=0,
        le=300,
        description="how long a checked key is cached, in seconds; a revocation takes effect "
        "after that time at the latest",
    )
    key_grace_seconds: float = Field(
        default=600,
        ge=0,
        le=3600,
        description="how long a cached key is accepted while the accounts database does not "
        "answer, in seconds; a revocation takes effect once the database is back",
    )

    @field_validator("http_host")
    @classmethod
    def _address(cls, host: str) -> str:
        """Convert the host to an IP address, which HAProxy needs."""
        if host == "localhost":
            return "127.0.0.1"
        try:
            return str(ip_address(host))
        except ValueError:
            raise ValueError(
                f"{host!r} is not an IP address; 127.0.0.1 accepts connections from this machine "
                "only, 0.0.0.0 accepts connections on all addresses of the machine"
            ) from None

    @field_validator("cache_url")
    @classmethod
    def _cache(cls, url: SecretStr | None) -> SecretStr | None:
        """Check the URL of the cache; the message does not repeat it, because it has a password."""
        if url is not None and not _is_cache(url.get_secret_value()):
            raise ValueError(
                "PIXLAKE_CACHE_URL is not redis://host:port or rediss://host:port; a password's "
                "characters / ? # @ are written %2F %3F %23 %40"
            )
        return url

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, text: str) -> str:
        for origin in _listed(text):
            if _ORIGIN.fullmatch(origin) is None:
                raise ValueError(
                    f"{origin!r} is no origin; an origin is a scheme, a name in lower case and a "
                    "port if it is not the usual one, such as https://app.example.com"
                )
        return text

    @model_validator(mode="after")
    def _one_upload_fits(self) -> Self:
        if self.max_upload_bytes < self.max_bytes:
            raise ValueError(
                f"PIXLAKE_MAX_UPLOAD_BYTES ({self.max_upload_bytes}) is below PIXLAKE_MAX_BYTES "
                f"({self.max_bytes})"
            )
        return self

    @property
    def allowed_origins(self) -> tuple[str, ...]:
        """Origins of `cors_origins`."""
        return tuple(_listed(self.cors_origins))

    @property
    def key_file(self) -> Path:
        """File of the first API key, mode 0600."""
        return self.home / "api-key"

    @property
    def accounts_url(self) -> str:
        """URL of the accounts database: the setting, else SQLite in the home."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.home.resolve() / 'accounts.sqlite'}"


# The number of a database, and parameters of redis-py without the characters of a password's end.
_CACHE_PATH = re.compile(r"/?|/\d{1,5}", re.ASCII)
_CACHE_OPTION = re.compile(r"[a-z][a-z_]*=[^@]+", re.ASCII)


def _listed(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


def _is_cache(url: str) -> bool:
    try:
        parts = urlsplit(url)
        # Reading the port checks it.
        _ = parts.port
    except ValueError:
        return False
    # The rest of a password with `#` would be a fragment, which the client ignores.
    if parts.scheme not in {"redis", "rediss"} or not parts.hostname or parts.fragment:
        return False
    # After a `/` or `?` within a password, the host would be the beginning of the password, and
    # the client would look it up in DNS and log it.
    return _CACHE_PATH.fullmatch(parts.path) is not None and all(
        _CACHE_OPTION.fullmatch(option) for option in parts.query.split("&") if parts.query
    )
