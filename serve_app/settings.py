"""Settings of the HTTP door: where it listens, what it takes, who may come in."""

from ipaddress import ip_address
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class ServeSettings(BaseSettings):
    """Read once at the top of a process and passed down; environment variables `PIXLAKE_…`."""

    model_config = SettingsConfigDict(env_prefix="PIXLAKE_", frozen=True, extra="ignore")

    home: Path = Field(default=Path(".pixlake"), description="folder of all data and state")
    http_host: str = Field(default="127.0.0.1", description="address that the API listens on")
    http_port: int = Field(default=8000, ge=1, le=65535, description="port of the API")
    database_url: SecretStr | None = Field(
        default=None,
        description="accounts, as postgresql://… or sqlite:///…; default: accounts.sqlite in home",
    )
    default_preset: str = Field(default="web", description="preset of an upload that names none")
    max_bytes: int = Field(
        default=25_000_000, ge=1, description="largest image that an upload may carry, in bytes"
    )
    body_idle_seconds: float = Field(
        default=30, gt=0, description="longest silence within an upload's body, in seconds"
    )
    body_total_seconds: float = Field(
        default=300, gt=0, description="longest time that an upload's body may take, in seconds"
    )
    body_min_rate: float = Field(
        default=1_000,
        gt=0,
        description="slowest average of an upload's body, in bytes a second, once it has taken "
        "as long as one silence may",
    )
    answer_seconds: float = Field(
        default=50,
        gt=0,
        description="longest time from the end of an upload's body to its answer, in seconds; "
        "then 503, the upload goes on, and a retry finds it done",
    )
    max_uploads: int = Field(
        default=128,
        ge=1,
        description="uploads under way at once, in one process of the API; while several tenants "
        "or keys are active each may take half",
    )
    max_upload_bytes: int = Field(
        default=256_000_000,
        ge=1,
        description="bytes of all uploads under way at once, in one process of the API, as they "
        "arrive; while several tenants or keys are active each may take half",
    )
    address_connections: int = Field(
        default=500,
        ge=0,
        description="connections that one client address may have once three quarters of all "
        "places of HAProxy are taken; 0 for any number, as behind a load balancer, whose addresses "
        "all clients share",
    )
    key_cache_seconds: float = Field(
        default=5,
        ge=0,
        le=300,
        description="how long a checked key is trusted, so how late a revocation may bite, seconds",
    )
    key_grace_seconds: float = Field(
        default=600,
        ge=0,
        le=3600,
        description="how long a checked key is trusted while the accounts' database does not "
        "answer, in seconds; a revocation bites when the database is back",
    )

    @field_validator("http_host")
    @classmethod
    def _address(cls, host: str) -> str:
        """As an IP address, which is what HAProxy binds."""
        if host == "localhost":
            return "127.0.0.1"
        try:
            return str(ip_address(host))
        except ValueError:
            raise ValueError(
                f"{host!r} is not an IP address; 127.0.0.1 is this machine alone, 0.0.0.0 all of "
                "its addresses"
            ) from None

    @model_validator(mode="after")
    def _one_upload_fits(self) -> Self:
        if self.max_upload_bytes < self.max_bytes:
            raise ValueError("PIXLAKE_MAX_UPLOAD_BYTES is below PIXLAKE_MAX_BYTES")
        return self

    @property
    def key_file(self) -> Path:
        """Where the first API key is kept, mode 0600."""
        return self.home / "api-key"

    @property
    def accounts_url(self) -> str:
        """The database of accounts, with the default applied."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.home.resolve() / 'accounts.sqlite'}"
