"""Audit log: who changed which key, tenant or preset, with its facts before and after."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from sqlalchemy import Connection, insert, select

from serve_app.accounts.database import Database, utc
from serve_app.accounts.tables import ACCOUNT_EVENTS

Act = Literal[
    "key.created",
    "key.limited",
    "key.revoked",
    "key.rotated",
    "preset.stored",
    "tenant.created",
    "tenant.limited",
    "tenant.suspended",
    "tenant.resumed",
]
Facts = Mapping[str, object]

LOCAL: Final = "service"
"""Actor of changes that the service makes itself, such as the first key."""
_MAX_ACTOR = 200


@dataclass(frozen=True, slots=True)
class AccountEvent:
    """Change of a key, tenant or preset. `actor`: a key with its tenant, an operator, the service.

    `subject`: prefix of the changed key, or name of the changed tenant or preset. `before` is None
    for what was created.
    """

    number: int
    at: datetime
    actor: str
    act: str
    subject: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class AccountLog:
    """Audit log; events cannot be changed or deleted."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def newest(
        self, limit: int, *, before: int | None = None, subject: str | None = None
    ) -> list[AccountEvent]:
        """Return the newest events, newest first.

        `before`: only events with a lower number. `subject`: only events of that key or tenant.
        Raises AccountsUnavailable.
        """
        query = select(ACCOUNT_EVENTS).order_by(ACCOUNT_EVENTS.c.number.desc()).limit(limit)
        if before is not None:
            query = query.where(ACCOUNT_EVENTS.c.number < before)
        if subject is not None:
            query = query.where(ACCOUNT_EVENTS.c.subject == subject)
        with self._database.begin() as connection:
            rows = connection.execute(query).all()
        return [
            AccountEvent(
                row.number, utc(row.at), row.actor, row.act, row.subject, row.before, row.after
            )
            for row in rows
        ]

    def preset_stored(
        self, name: str, version: int, *, actor: str, tenant: str | None = None
    ) -> None:
        """Append the event of a new version of a preset, which `tenant` or nobody owns.

        Raises AccountsUnavailable.

        The version is in the store already, so an event may be missing, and none is wrong.
        """
        owner: dict[str, object] = {} if tenant is None else {"tenant": tenant}
        with self._database.begin() as connection:
            append(
                connection,
                actor,
                "preset.stored",
                # Not the bare name, which may be that of a tenant or a key.
                f"preset:{tenant}/{name}" if tenant is not None else f"preset:{name}",
                before={"version": version - 1, **owner} if version > 1 else None,
                after={"version": version, **owner},
            )


def append(
    connection: Connection,
    actor: str,
    act: Act,
    subject: str,
    *,
    before: Facts | None = None,
    after: Facts | None = None,
) -> None:
    """Append one event in the transaction of its change."""
    connection.execute(
        insert(ACCOUNT_EVENTS).values(
            at=datetime.now(UTC),
            actor=actor[:_MAX_ACTOR],
            act=act,
            subject=subject,
            before=None if before is None else dict(before),
            after=None if after is None else dict(after),
        )
    )
