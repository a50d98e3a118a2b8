"""Home, address and API key of the Pixlake that a command uses."""

import inspect
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from pixlake.cli import output
from pixlake.cli.failures import UsageFault
from pixlake.cli.options import AllowHttp, CaFile, ClientCert, Home, KeyFile, Proxy, Url

if TYPE_CHECKING:
    from pixlake.client import Client
    from pixlake.client.retry_loop import OnWait

_FOLDER = ".pixlake"
_KEY_FILE = "api-key"
# File of the home with the API's URL; `pixlake up` writes it.
_ADDRESS = "api-url"
_HTTP_PORT = 8000
_KAFKA_PORT = 9092
_MOMENT_SECONDS = 1.0

_TRUE = {"1", "true", "t", "yes", "y", "on"}
# Conversion of a variable's text by the type of its option, as in Typer.
_FROM_TEXT: dict[object, Callable[[str], object]] = {
    str | None: str,
    Path | None: Path,
    bool: lambda text: text.strip().lower() in _TRUE,
}


def find_home(given: Path | None) -> Path:
    """Find the home: the given folder, else the nearest `.pixlake` here or in a folder above.

    Only folders of this user count, because any user can create a `.pixlake` in /tmp. If no folder
    is found, the result is `.pixlake` in the current folder.
    """
    if given is not None:
        return given
    here = Path.cwd()
    for folder in (here, *here.parents):
        home = folder / _FOLDER
        if home.is_dir() and home.stat().st_uid == os.getuid():
            return home
    return here / _FOLDER


def find_url(given: str | None, home: Path | None = None) -> str:
    """Find the root URL of the API: the option, the environment's port, or the home's file."""
    if given:
        return given
    if not os.environ.get("PIXLAKE_HTTP_PORT"):
        with suppress(OSError, UnicodeDecodeError):
            return (find_home(home) / _ADDRESS).read_text(encoding="ascii").strip()
    return f"http://127.0.0.1:{_port('PIXLAKE_HTTP_PORT', _HTTP_PORT)}"


def find_bootstrap(given: str | None) -> str:
    """Return Kafka's bootstrap servers: the option, else this machine's port."""
    return given or f"127.0.0.1:{_port('PIXLAKE_KAFKA_PORT', _KAFKA_PORT)}"


def find_key(key_file: Path | None, home: Path | None) -> str:
    """Read the API key; raises UsageFault without one."""
    if key_file is None and (key := os.environ.get("PIXLAKE_API_KEY")):
        return key.strip()
    path = key_file or find_home(home) / _KEY_FILE
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise UsageFault(
            f"no API key: there is no {path}; run `pixlake up`, or give --key-file, --home "
            "or PIXLAKE_API_KEY"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageFault(f"no API key: {path} can't be read: {error}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionOptions:
    """Options of a command that uses the API."""

    url: Url = None
    home: Home = None
    ca_file: CaFile = None
    client_cert: ClientCert = None
    proxy: Proxy = None
    allow_http: AllowHttp = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiOptions(ConnectionOptions):
    """Options of a command that uses the API and needs a key."""

    key_file: KeyFile = None

    @classmethod
    def of_environment(cls) -> "ApiOptions":
        """Read the options' variables, for a command that has no such options of its own."""
        hints = get_type_hints(cls, include_extras=True)
        found: dict[str, Any] = {}
        for field in fields(cls):
            kind, option = get_args(hints[field.name])
            text = os.environ.get(option.envvar or "", "")
            if text:
                found[field.name] = _FROM_TEXT[kind](text)
        return cls(**found)


def with_api_options(verb: Callable[..., None]) -> Callable[..., None]:
    """Decorator that replaces the parameter `api` of a command by the options of its class."""
    own = inspect.signature(verb)
    kind = own.parameters["api"].annotation
    names = [field.name for field in fields(kind)]

    @wraps(verb)
    def run(**given: Any) -> None:
        verb(api=kind(**{name: given.pop(name) for name in names}), **given)

    kept = [each for each in own.parameters.values() if each.name != "api"]
    options = list(inspect.signature(kind).parameters.values())
    # Typer reads options from a function's signature.
    run.__signature__ = own.replace(parameters=[*kept, *options])  # type: ignore[attr-defined]
    return run


def connect(api: ApiOptions, *, deadline: float, tell: bool = True) -> "Client":
    """Create a client that retries for `deadline` seconds, and reports waits if `tell` is set.

    Raises UsageFault.
    """
    return make_client(api, find_key(api.key_file, api.home), deadline=deadline, tell=tell)


def make_client(
    options: ConnectionOptions, key: str | None, *, deadline: float, tell: bool = True
) -> "Client":
    """Create a client with these options; raises UsageFault."""
    from pixlake.client import Client, InsecureUrl, Retries, Security  # noqa: PLC0415  # slow

    security = Security(
        ca_file=options.ca_file,
        client_cert=options.client_cert,
        proxy=options.proxy,
        allow_http=options.allow_http,
    )
    try:
        return Client(
            find_url(options.url, options.home),
            key,
            retries=Retries(deadline=deadline),
            security=security,
            on_wait=_telling(deadline) if tell else None,
        )
    except (ValueError, InsecureUrl) as error:
        raise UsageFault(str(error)) from None


def _telling(deadline: float) -> "OnWait":
    """Build a callback that reports the first wait, if it is not very short."""
    reported = False

    def tell(reason: str, seconds: float, left: float) -> None:
        nonlocal reported
        if not reported and left - seconds < deadline - _MOMENT_SECONDS:
            reported = True
            output.note(f"waiting, {left:.0f} s at most: {reason}")

    return tell


def _port(variable: str, default: int) -> int:
    text = os.environ.get(variable) or str(default)
    if not text.isdecimal() or not 0 < int(text) < 2**16:
        raise UsageFault(f"{variable} is {text!r}, not a port")
    return int(text)
