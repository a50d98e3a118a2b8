"""`pixlake keys`: manages API keys, directly in the accounts database."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixlake.cli import output
from pixlake.cli.failures import CliError, UsageFault
from pixlake.cli.options import DryRun, Home, Json, Yes
from pixlake_server.cli.consent import ask

if TYPE_CHECKING:
    from serve_app.accounts import Accounts

keys = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Create, list and revoke API keys.\n\nWorks on the server, in the accounts database: "
    "PIXLAKE_DATABASE_URL, else a file in PIXLAKE_HOME.",
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
            help="images:read, images:write, presets:write; repeatable; default: the first two."
        ),
    ] = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Create a key and print it. The key can't be shown again: only its hash is stored."""
    with _accounts(home) as accounts:
        from serve_app.accounts import IMAGES  # noqa: PLC0415  # slow

        key = accounts.create_key(tenant, scope or IMAGES, name)
    if json:
        output.emit({"key": key, "prefix": _prefix(key), "tenant": tenant, "name": name})
    else:
        print(key)


@keys.command("ls")
def ls(*, home: Home = None, json: Json = False) -> None:
    """List all keys, revoked keys included, oldest first."""
    with _accounts(home) as accounts:
        found = accounts.keys()
    if json:
        output.emit(
            {
                "keys": [
                    {
                        "prefix": key.prefix,
                        "tenant": key.tenant,
                        "name": key.name,
                        "scopes": sorted(key.scopes),
                        "created_at": key.created_at.isoformat(),
                        "revoked_at": key.revoked_at.isoformat() if key.revoked_at else None,
                    }
                    for key in found
                ]
            }
        )
        return
    rows = [
        (
            key.prefix,
            key.tenant,
            ",".join(sorted(scope.removeprefix("images:") for scope in key.scopes)),
            f"{key.created_at.astimezone():%Y-%m-%d %H:%M}",
            f"{key.revoked_at.astimezone():%Y-%m-%d %H:%M}" if key.revoked_at else "",
            key.name,
        )
        for key in found
    ]
    output.table(("prefix", "tenant", "scopes", "created", "revoked", "name"), rows)


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
    with _accounts(home) as accounts:
        every = accounts.keys()
        living = [key for key in every if key.prefix == prefix and not key.revoked_at]
        if not living:
            raise NoSuchKey(f"no active key has the prefix {prefix!r}; `pixlake keys ls` lists all")
        described = f"{prefix} of tenant {living[0].tenant}, {living[0].name!r}"
        if not dry_run:
            ask(f"revoke the key {described}", yes=yes)
            accounts.revoke(prefix)
    if json:
        output.emit({"prefix": prefix, "revoked": not dry_run})
    else:
        print(f"would revoke {described}" if dry_run else f"revoked {prefix}")


@contextmanager
def _accounts(home: Path | None) -> Iterator["Accounts"]:
    from pixlake_server.cli.settings import load_existing  # noqa: PLC0415  # slow
    from serve_app.accounts import Accounts  # noqa: PLC0415
    from serve_app.settings import ServeSettings  # noqa: PLC0415

    settings = load_existing(ServeSettings, home, "database_url")
    file = settings.home / "accounts.sqlite"
    if settings.database_url is None and not file.is_file():
        raise UsageFault(
            f"no accounts database: {settings.home} has no {file.name}. `pixlake up` creates one; "
            "--home, PIXLAKE_HOME or PIXLAKE_DATABASE_URL names an existing one"
        )
    accounts = Accounts.open(settings.accounts_url)
    try:
        yield accounts
    finally:
        accounts.close()


def _prefix(key: str) -> str:
    return key.split("_")[1]
