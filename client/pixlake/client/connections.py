"""Connection pools to one API, one for each process, with TLS and proxy settings."""

import os
import ssl
from dataclasses import dataclass
from pathlib import Path

import httpx

from pixlake.client import address
from pixlake.client.errors import ClientError

_CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class Security:
    """TLS and proxy settings; all fields are optional.

    `ca_file`: certificates (PEM) of trusted authorities, in place of the public authorities.
    `client_cert`: certificate and key of the client (PEM), in one file or in two. `proxy`: URL of a
    proxy, in place of the environment's proxies. `allow_http`: allow to send the key to another
    machine over plain HTTP.
    """

    ca_file: str | Path | None = None
    client_cert: str | Path | tuple[str | Path, str | Path] | None = None
    proxy: str | None = None
    allow_http: bool = False

    def context(self) -> ssl.SSLContext | bool:
        """Create the TLS context for httpx; raises ValueError for an unusable file."""
        if self.ca_file is None and self.client_cert is None:
            return True
        try:
            context = (
                httpx.create_ssl_context()
                if self.ca_file is None
                else ssl.create_default_context(cafile=self.ca_file)
            )
        except OSError as error:
            raise ValueError(f"the CA file {self.ca_file} can't be used: {error}") from error
        if self.client_cert is not None:
            own = self.client_cert
            certificate, key = own if isinstance(own, tuple) else (own, None)
            try:
                # Without this callback OpenSSL would ask for the password on the terminal.
                context.load_cert_chain(certificate, key, password=_no_password)
            except OSError as error:
                reason = f"the client certificate {certificate} can't be used: {error}"
                raise ValueError(reason) from error
        return context


def _no_password() -> str:
    raise ValueError("the key of the client certificate is encrypted")


class Connections:
    """Connection pool for each process; a child must not use the connections of its parent."""

    def __init__(self, base: httpx.URL, headers: dict[str, str], security: Security) -> None:
        """Raise ValueError for unusable settings, ClientError for an unusable environment."""
        self._base = base
        self._headers = headers
        self._verify = security.context()
        if self._verify is True and base.scheme == "http":
            # Plain HTTP needs no authorities; to load the public ones takes 25 ms.
            self._verify = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._proxy = _proxy(security.proxy)
        self._pools: dict[int, httpx.Client] = {}
        self.pool()

    def pool(self) -> httpx.Client:
        """Return the pool of this process; creates the pool if necessary."""
        pid = os.getpid()
        if (pool := self._pools.get(pid)) is not None:
            return pool
        try:
            # After a fork the parent still uses its pool, so the child does not close that pool.
            self._pools[pid] = httpx.Client(
                base_url=self._base,
                headers=self._headers,
                limits=httpx.Limits(
                    max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS
                ),
                verify=self._verify,
                proxy=self._proxy,
                # A proxy of the environment can't reach this machine's loopback address.
                trust_env=not address.is_loopback(self._base.host),
            )
        except (ImportError, ValueError) as error:
            raise ClientError(f"the proxy can't be used: {error}") from error
        return self._pools[pid]

    def close(self) -> None:
        """Close the pool of this process."""
        if (pool := self._pools.get(os.getpid())) is not None:
            pool.close()


def _proxy(text: str | None) -> httpx.Proxy | None:
    if text is None:
        return None
    try:
        return httpx.Proxy(text)
    except (ValueError, httpx.InvalidURL) as error:
        raise ValueError(f"the proxy is not a URL: {error}") from error
