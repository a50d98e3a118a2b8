"""Checks of API address and key before anything is sent."""

from ipaddress import ip_address

import httpx

from pixlake.client.errors import InsecureUrl


def base_url(text: str) -> httpx.URL:
    """Parse the root URL of an API. Raises ValueError."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise ValueError(f"{text!r} is not a URL: {error}") from error
    if url.userinfo:
        # httpx would send user and password in place of the key. The message must not show them.
        raise ValueError("the URL contains a user or a password; the API accepts only keys")
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError(f"{text!r} is not an http or https URL")
    return url


def checked_key(key: str) -> str:
    """Return the key if a header can contain it. Raises ValueError, which omits the key's text."""
    if not key.isascii() or not key.isprintable() or not key or " " in key:
        raise ValueError("the API key is empty or has invalid characters")
    return key


def check_secrecy(url: httpx.URL, *, allow_http: bool) -> None:
    """Raise InsecureUrl if the key would be sent to another machine over plain HTTP."""
    if url.scheme == "http" and not allow_http and not is_loopback(url.host):
        raise InsecureUrl(
            f"{url} would send the API key in clear to another machine; use https, or allow http "
            "(--allow-http, PIXLAKE_ALLOW_HTTP=true) in a private network"
        )


def is_loopback(host: str) -> bool:
    """True if the host is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
