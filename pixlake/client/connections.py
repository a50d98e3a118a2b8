"""Connections to one API: a pool for each process, and how TLS and proxies are used."""

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
    """How an API is reached; all of it may be left out.

    `ca_file`: certificates (PEM) of the authorities that are trusted, instead of the public ones.
    `client_cert`: certificate and key of the client (PEM), in one file or in two. `proxy`: URL of
    a proxy, instead of those that the environment names. `allow_http`: send the key over plain
    HTTP to another machine, too.
    """

    ca_file: str | Path | None = None
    client_cert: str | Path | tuple[str | Path, str | Path] | None = None
    proxy: str | None = None
    allow_http: bool = False

    def context(self) -> ssl.SSLContext | bool:
        """What httpx verifies by; raises ValueError for a file that is none."""
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
                # An encrypted key would be asked for on the terminal, by a library.
                context.load_cert_chain(certificate, key, password=_no_password)
            except OSError as error:
                reason = f"the client certificate {certificate} can't be used: {error}"
                raise ValueError(reason) from error
        return context


def _no_password() -> str:
    raise ValueError("the key of the client certificate is encrypted")


class Connections:
    """One pool of connections a process: those of a parent would answer to both."""

    def __init__(self, base: httpx.URL, headers: dict[str, str], security: Security) -> None:
        """Raises ValueError for settings that can't be used, ClientError for the environment's."""
        self._base = base
        self._headers = headers
        self._verify = security.context()
        self._proxy = _proxy(security.proxy)
        self._pools: dict[int, httpx.Client] = {}
        self.pool()

    def pool(self) -> httpx.Client:
        """The connections of this process."""
        pid = os.getpid()
        if (pool := self._pools.get(pid)) is not None:
            return pool
        try:
            # Never closed here: the parent goes on with its own.
            self._pools[pid] = httpx.Client(
                base_url=self._base,
                headers=self._headers,
                limits=httpx.Limits(
                    max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS
                ),
                verify=self._verify,
                proxy=self._proxy,
                # A proxy set for the outside world knows no way to this machine.
                trust_env=not address.is_loopback(self._base.host),
            )
        except (ImportError, ValueError) as error:
            raise ClientError(f"the proxy can't be used: {error}") from error
        return self._pools[pid]

    def close(self) -> None:
        """Close those of this process."""
        if (pool := self._pools.get(os.getpid())) is not None:
            pool.close()


def _proxy(text: str | None) -> httpx.Proxy | None:
    if text is None:
        return None
    try:
        return httpx.Proxy(text)
    except (ValueError, httpx.InvalidURL) as error:
        raise ValueError(f"the proxy is no URL: {error}") from error
