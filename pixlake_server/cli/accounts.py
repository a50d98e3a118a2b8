"""`pixlake accounts`: migrates the accounts database, and prints its audit log."""

import json as json_format
from typing import Annotated

import typer

from pixlake.cli import output
from pixlake.cli.options import Home, Json
from pixlake_server.cli.accounts_access import open_accounts

accounts = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Migrate the accounts database, and print its audit log.\n\nWorks on the server, in the "
    "accounts database: PIXLAKE_DATABASE_URL, else a file in PIXLAKE_HOME.",
)


@accounts.command()
def migrate(*, home: Home = None, json: Json = False) -> None:
    """Bring the accounts database to this version's tables; may be repeated.

    Each start of the service does the same. Run the command before a deployment if the service's
    database user may not create tables. Migrations only add, so running processes go on.
    """
    from serve_app.accounts.migration import NEWEST  # noqa: PLC0415  # slow

    with open_accounts(home):
        pass  # opening migrates
    if json:
        output.emit({"version": NEWEST})
    else:
        print(f"the accounts database has version {NEWEST}")


@accounts.command()
def log(
    *,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Largest number of events.")] = 50,
    before: Annotated[
        int | None, typer.Option(help="Only events with a lower number: the next page.")
    ] = None,
    subject: Annotated[
        str | None, typer.Option(help="Only events of this key (prefix) or tenant.")
    ] = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Print who changed which key or tenant, newest first."""
    with open_accounts(home) as opened:
        events = opened.log.newest(limit, before=before, subject=subject)
    if json:
        output.emit(
            {
                "events": [
                    {
                        "number": event.number,
                        "at": event.at.isoformat(),
                        "actor": event.actor,
                        "act": event.act,
                        "subject": event.subject,
                        "before": event.before,
                        "after": event.after,
                    }
                    for event in events
                ]
            }
        )
        return
    rows = [
        (
            str(event.number),
            f"{event.at.astimezone():%Y-%m-%d %H:%M:%S}",
            event.actor,
            event.act,
            event.subject,
            json_format.dumps(event.after, sort_keys=True),
        )
        for event in events
    ]
    output.table(("number", "at", "actor", "act", "subject", "after"), rows, right=("number",))
