"""Where an API is, and the key for it: checked before anything is sent."""

from ipaddress import ip_address

import httpx

from pixlake.client.errors import InsecureUrl


def base_url(text: str) -> httpx.URL:
    """Root of an API. Raises ValueError."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise ValueError(f"{text!r} is not a URL: {error}") from error
    if url.userinfo:
        # Not shown, and httpx would send it in place of the key.
        raise ValueError("the URL has a user or a password in it: the API knows only keys")
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError(f"{text!r} is not an http or https URL")
    return url


def checked_key(key: str) -> str:
    """The key, fit for a header. Raises ValueError, whose text does not show it."""
    if not key.isascii() or not key.isprintable() or not key or " " in key:
        raise ValueError("the API key has characters that no key has")
    return key


def check_secrecy(url: httpx.URL, *, allow_http: bool) -> None:
    """Raise InsecureUrl where a key would leave this machine over plain HTTP."""
    if url.scheme == "http" and not allow_http and not is_loopback(url.host):
        raise InsecureUrl(
            f"{url} would send the API key in clear to another machine; use https, or allow it "
            "(--allow-http, PIXLAKE_ALLOW_HTTP=true) where the network itself is private"
        )


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
