"""`pixlake keys`: manages API keys, directly in the accounts database."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from pixlake.cli import output
from pixlake.cli.failures import CliError
from pixlake.cli.options import DryRun, Home, Json, Yes
from pixlake_server.cli.account_limits import (
    BytesPerDay,
    BytesPerSecond,
    ImagesPerDay,
    ImagesPerSecond,
    RequestsPerSecond,
    changed,
    tell,
)
from pixlake_server.cli.accounts_access import duration, local_minute, open_accounts, operator
from pixlake_server.cli.consent import ask

if TYPE_CHECKING:
    from serve_app.accounts import KeyInfo

keys = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Create, list, rotate and revoke API keys.\n\nWorks on the server, in the accounts "
    "database: PIXLAKE_DATABASE_URL, else a file in PIXLAKE_HOME.",
)


class NoSuchKey(CliError):
    """No active key has this prefix."""

    code = "key_not_found"


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="Label of the key, for `keys ls`.")],
    *,
    tenant: Annotated[str, typer.Option(help="Tenant of the key's images.")] = "default",
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="images:read, images:write, images:erase, presets:write, admin; repeatable; "
            "default: the first two."
        ),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="Lifetime, such as 90d or 12h; default: no end."),
    ] = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Create a key and print it. The key can't be shown again: only its hash is stored."""
    expires_at = datetime.now(UTC) + duration("--expires", expires) if expires else None
    with open_accounts(home) as accounts:
        from serve_app.accounts import IMAGES  # noqa: PLC0415  # slow

        issued = accounts.create_key(
            tenant, scope or IMAGES, name, expires_at=expires_at, actor=operator()
        )
    if json:
        prefix = issued.info.prefix
        output.emit({"key": issued.text, "prefix": prefix, "tenant": tenant, "name": name})
    else:
        print(issued.text)


@keys.command("ls")
def ls(*, home: Home = None, json: Json = False) -> None:
    """List all keys, revoked keys included, oldest first."""
    with open_accounts(home) as accounts:
        found = accounts.keys()
    if json:
        output.emit({"keys": [_document(key) for key in found]})
        return
    rows = [
        (
            key.prefix,
            key.tenant,
            ",".join(sorted(scope.removeprefix("images:") for scope in key.scopes)),
            local_minute(key.created_at),
            local_minute(key.last_used_at),
            _ended(key),
            key.name,
        )
        for key in found
    ]
    output.table(("prefix", "tenant", "scopes", "created", "last used", "ends", "name"), rows)


@keys.command()
def rotate(
    prefix: Annotated[str, typer.Argument(help="Prefix of the key: between pxl_ and _.")],
    *,
    overlap: Annotated[
        str, typer.Option(metavar="DURATION", help="How long the old key is still accepted.")
    ] = "1d",
    home: Home = None,
    json: Json = False,
) -> None:
    """Create a key with the same tenant, scopes and name, and print it.

    The old key expires after the overlap. The new key can't be shown again.
    """
    both_accepted = duration("--overlap", overlap)
    with open_accounts(home) as accounts:
        issued = accounts.rotate(prefix, both_accepted, actor=operator())
        old = accounts.key(prefix)
    if json:
        replaced = {"prefix": issued.info.prefix, "replaces": _document(old)}
        output.emit({"key": issued.text, **replaced})
    else:
        print(issued.text)
        output.note(f"{prefix} is accepted until {local_minute(old.expires_at)}")


@keys.command()
def limit(
    prefix: Annotated[str, typer.Argument(help="Prefix of the key: between pxl_ and _.")],
    *,
    requests_per_second: RequestsPerSecond = None,
    images_per_second: ImagesPerSecond = None,
    bytes_per_second: BytesPerSecond = None,
    images_per_day: ImagesPerDay = None,
    bytes_per_day: BytesPerDay = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Set limits of a key; without an option, show them. Limits that are not named stay.

    Servers notice within seconds (PIXLAKE_KEY_CACHE_SECONDS).
    """
    options = {
        "requests_per_second": requests_per_second,
        "images_per_second": images_per_second,
        "bytes_per_second": bytes_per_second,
        "images_per_day": images_per_day,
        "bytes_per_day": bytes_per_day,
    }
    with open_accounts(home) as accounts:
        limits = accounts.limits.of_key(prefix)
        if any(options.values()):
            limits = changed(limits, options)
            accounts.limits.set_key(prefix, limits, actor=operator())
    tell(limits, json=json)


@keys.command()
def revoke(
    prefix: Annotated[str, typer.Argument(help="Prefix of the key: between pxl_ and _.")],
    *,
    dry_run: DryRun = False,
    yes: Yes = False,
    home: Home = None,
    json: Json = False,
) -> None:
    """Revoke a key; servers notice within seconds (PIXLAKE_KEY_CACHE_SECONDS).

    Prints the holder of the key and asks first.
    """
    with open_accounts(home) as accounts:
        every = accounts.keys()
        living = [key for key in every if key.prefix == prefix and not key.revoked_at]
        if not living:
            raise NoSuchKey(f"no active key has the prefix {prefix!r}; `pixlake keys ls` lists all")
        described = f"{prefix} of tenant {living[0].tenant}, {living[0].name!r}"
        if not dry_run:
            ask(f"revoke the key {described}", yes=yes)
            accounts.revoke(prefix, actor=operator())
    if json:
        output.emit({"prefix": prefix, "revoked": not dry_run})
    else:
        print(f"would revoke {described}" if dry_run else f"revoked {prefix}")


def _document(key: "KeyInfo") -> dict[str, object]:
    def text(moment: datetime | None) -> str | None:
        return moment.isoformat() if moment else None

    return {
        "prefix": key.prefix,
        "tenant": key.tenant,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "created_at": text(key.created_at),
        "last_used_at": text(key.last_used_at),
        "expires_at": text(key.expires_at),
        "revoked_at": text(key.revoked_at),
    }


def _ended(key: "KeyInfo") -> str:
    if key.revoked_at:
        return f"revoked {local_minute(key.revoked_at)}"
    return local_minute(key.expires_at)
