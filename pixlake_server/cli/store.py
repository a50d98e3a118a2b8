"""`pixlake store`: shows and changes the settings in the store."""

import asyncio
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixlake.cli import output
from pixlake.cli.failures import UsageFault
from pixlake.cli.options import DryRun, Home, Json, Yes
from pixlake_server.cli.consent import ask

if TYPE_CHECKING:
    from lake.retention.store_change import Change, Wanted
    from lake.settings import LakeSettings
    from lake.store.store_settings import StoreSettings

store = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Show and change the settings in the store.\n\nThese are retention, window and margin; "
    "every process reads them from the store. The store is that of PIXLAKE_STORE_URL, or the one "
    "in PIXLAKE_HOME.",
)


@store.command()
def show(*, home: Home = None, json: Json = False) -> None:
    """Show the settings of the store, and planned changes of retention."""
    settings = _settings(home)
    from lake.store.opening import kept_settings  # noqa: PLC0415  # slow

    kept = asyncio.run(kept_settings(settings))
    if json:
        output.emit(_plain(kept))
    else:
        output.table(("setting", "value"), _rows(kept))


@store.command("set")
def change(
    *,
    retention_days: Annotated[
        int | None, typer.Option(min=1, max=365, help="Days that images are kept.")
    ] = None,
    window_seconds: Annotated[
        int | None, typer.Option(min=1, max=3600, help="Length of a window.")
    ] = None,
    sweep_margin_seconds: Annotated[
        int | None, typer.Option(min=900, max=7 * 86_400, help="From expiry to deletion.")
    ] = None,
    now: Annotated[
        bool, typer.Option("--now", help="At once; only while no other process uses the store.")
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    home: Home = None,
    json: Json = False,
) -> None:
    """Change settings of the store, for every process that uses it.

    A new retention begins three hours later, when every process knows it; until shortly before, it
    can be changed back. For a shorter retention the command prints how many images expire, and
    asks. Expired images stay expired.
    """
    settings = _settings(home)
    from lake.retention.store_change import Wanted  # noqa: PLC0415  # slow

    wanted = Wanted(retention_days, window_seconds, sweep_margin_seconds)
    if not any(asdict(wanted).values()):
        raise UsageFault("nothing to change: give --retention-days, for instance")
    asyncio.run(_change(settings, wanted, at_once=now, dry_run=dry_run, yes=yes, json=json))


def _settings(home: Path | None) -> "LakeSettings":
    from lake.settings import LakeSettings  # noqa: PLC0415  # slow
    from pixlake_server.cli.settings import load_existing  # noqa: PLC0415

    # Ignore these settings in the environment, because this command may change them.
    nothing = dict.fromkeys(("retention_days", "window_seconds", "sweep_margin_seconds"))
    return load_existing(LakeSettings, home, "store_url").model_copy(update=nothing)


async def _change(
    settings: "LakeSettings",
    wanted: "Wanted",
    *,
    at_once: bool,
    dry_run: bool,
    yes: bool,
    json: bool,
) -> None:
    from lake.retention.store_change import prepare  # noqa: PLC0415  # slow

    change = await prepare(settings, wanted, at_once=at_once)
    for line in _said(change):
        output.note(line)
    does = not dry_run and not change.is_none
    if does:
        if _is_shorter(change):
            ask(f"keep images {change.after.last_days} days, {change.gone} images expire", yes=yes)
        await change.write()
    if json:
        output.emit({"changed": does, "gone": change.gone} | _plain(change.after))
    elif does:
        print("changed")
    else:
        print("nothing to change" if change.is_none else "would change")


def _is_shorter(change: "Change") -> bool:
    before = change.before
    return before is None or change.after.last_days < max(
        before.last_days, before.days(datetime.now(UTC))
    )


def _said(change: "Change") -> list[str]:
    """Describe the change, one line for each effect."""
    before, after = change.before, change.after
    lines = []
    for name in ("window_seconds", "sweep_margin_seconds"):
        old, new = getattr(before, name, None), getattr(after, name)
        if old != new:
            lines.append(f"{name}: {'not set' if old is None else old} -> {new}")
    if before is None or before.retention != after.retention:
        old = "not set" if before is None else before.last_days
        last = after.retention[-1]
        since = f", from {last.since:%Y-%m-%d %H:%M} UTC on" if before else ""
        lines.append(f"retention_days: {old} -> {last.days}{since}")
        lines.append(f"{change.gone} images expire that the old retention would keep")
    return lines


def _plain(kept: "StoreSettings") -> dict[str, object]:
    now = datetime.now(UTC)
    return {
        "store_id": kept.store_id,
        "format": kept.format,
        "layout": kept.layout,
        "identity": kept.identity,
        "retention_days": kept.days(now),
        "window_seconds": kept.window_seconds,
        "sweep_margin_seconds": kept.sweep_margin_seconds,
        "changes": [
            {"retention_days": each.days, "since": each.since.isoformat()}
            for each in kept.retention
            if each.since > now
        ],
    }


def _rows(kept: "StoreSettings") -> list[tuple[str, str]]:
    plain = _plain(kept)
    plain.pop("changes")
    now = datetime.now(UTC)
    rows = [(name, str(value)) for name, value in plain.items()]
    return rows + [
        (f"retention_days from {each.since:%Y-%m-%d %H:%M} UTC", str(each.days))
        for each in kept.retention
        if each.since > now
    ]
