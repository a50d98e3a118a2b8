"""`pixlake tenants`: lists, creates, suspends and resumes tenants, in the accounts database."""

from typing import TYPE_CHECKING, Annotated

import typer

from pixlake.cli import output
from pixlake.cli.options import Home, Json, Yes
from pixlake_server.cli.account_limits import (
    BytesPerDay,
    BytesPerSecond,
    ImagesPerDay,
    ImagesPerSecond,
    RequestsPerSecond,
    changed,
    tell,
)
from pixlake_server.cli.accounts_access import local_minute, open_accounts, operator
from pixlake_server.cli.consent import ask

if TYPE_CHECKING:
    from serve_app.accounts import TenantInfo

tenants = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="List, create, suspend and resume tenants.\n\nWorks on the server, in the accounts "
    "database: PIXLAKE_DATABASE_URL, else a file in PIXLAKE_HOME.",
)
Name = Annotated[str, typer.Argument(help="Name of the tenant.")]
# Rows of one query.
_PAGE = 500


@tenants.command("ls")
def ls(*, home: Home = None, json: Json = False) -> None:
    """List all tenants by name, with their active keys."""
    with open_accounts(home) as accounts:
        found = page = accounts.tenants.all(_PAGE)
        while len(page) == _PAGE:
            page = accounts.tenants.all(_PAGE, after=page[-1].name)
            found = found + page
    if json:
        output.emit({"tenants": [_document(tenant) for tenant in found]})
        return
    rows = [
        (
            tenant.name,
            local_minute(tenant.created_at),
            local_minute(tenant.suspended_at),
            str(tenant.active_keys),
        )
        for tenant in found
    ]
    output.table(("name", "created", "suspended", "active keys"), rows, right=("active keys",))


@tenants.command()
def create(name: Name, *, home: Home = None, json: Json = False) -> None:
    """Create a tenant; an existing tenant stays as it is."""
    with open_accounts(home) as accounts:
        from serve_app.accounts.errors import TenantNotFound  # noqa: PLC0415  # slow

        try:
            tenant, created = accounts.tenants.find(name), False
        except TenantNotFound:
            tenant, created = accounts.tenants.put(name, suspended=False, actor=operator())
    if json:
        output.emit({**_document(tenant), "created": created})
    else:
        print(f"created {name}" if created else f"{name} exists")


@tenants.command()
def suspend(name: Name, *, yes: Yes = False, home: Home = None, json: Json = False) -> None:
    """Refuse all keys of a tenant; servers notice within seconds (PIXLAKE_KEY_CACHE_SECONDS).

    Asks first. The tenant's images stay, and its Kafka messages are still accepted.
    """
    with open_accounts(home) as accounts:
        keys = accounts.tenants.find(name).active_keys
        ask(f"refuse the {keys} active keys of tenant {name}", yes=yes)
        tenant, _ = accounts.tenants.put(name, suspended=True, actor=operator())
    _told(tenant, f"suspended {name}", json=json)


@tenants.command()
def resume(name: Name, *, home: Home = None, json: Json = False) -> None:
    """Accept the keys of a suspended tenant again."""
    with open_accounts(home) as accounts:
        accounts.tenants.find(name)
        tenant, _ = accounts.tenants.put(name, suspended=False, actor=operator())
    _told(tenant, f"resumed {name}", json=json)


@tenants.command()
def limit(
    name: Name,
    *,
    requests_per_second: RequestsPerSecond = None,
    images_per_second: ImagesPerSecond = None,
    bytes_per_second: BytesPerSecond = None,
    images_per_day: ImagesPerDay = None,
    bytes_per_day: BytesPerDay = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Set limits of a tenant; without an option, show them. Limits that are not named stay.

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
        limits = accounts.limits.of_tenant(name)
        if any(options.values()):
            limits = changed(limits, options)
            accounts.limits.set_tenant(name, limits, actor=operator())
    tell(limits, json=json)


def _told(tenant: "TenantInfo", line: str, *, json: bool) -> None:
    if json:
        output.emit(_document(tenant))
    else:
        print(line)


def _document(tenant: "TenantInfo") -> dict[str, object]:
    return {
        "name": tenant.name,
        "created_at": tenant.created_at.isoformat(),
        "suspended_at": tenant.suspended_at.isoformat() if tenant.suspended_at else None,
        "active_keys": tenant.active_keys,
    }
