"""Tenants of the accounts. A tenant exists once it was created or has a key."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select, union, update
from sqlalchemy.dialects import postgresql, sqlite

from lake.layout import TENANT
from serve_app.accounts.account_log import append
from serve_app.accounts.database import Database, utc, utc_or_none
from serve_app.accounts.errors import InvalidAccount, TenantNotFound
from serve_app.accounts.tables import API_KEYS, TENANTS


@dataclass(frozen=True, slots=True)
class TenantInfo:
    """Public facts about a tenant. `active_keys`: keys that are neither revoked nor expired."""

    name: str
    created_at: datetime
    suspended_at: datetime | None
    active_keys: int


class Tenants:
    """Tenants: listing, creation, suspension. All methods block and raise AccountsUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self, limit: int, *, after: str = "") -> list[TenantInfo]:
        """List tenants by name; `after`: only names that follow this name."""
        query = _tenants().having(_NAMES.c.name > after).order_by(_NAMES.c.name).limit(limit)
        with self._database.begin() as connection:
            return [_info(row) for row in connection.execute(query).all()]

    def find(self, name: str) -> TenantInfo:
        """Find a tenant by its name. Raises TenantNotFound."""
        with self._database.begin() as connection:
            return _find(connection, name)

    def put(self, name: str, *, suspended: bool, actor: str) -> tuple[TenantInfo, bool]:
        """Create the tenant if it is missing, and suspend or resume it.

        Returns the tenant, and True if it was created. Raises InvalidAccount.
        """
        with self._database.change() as connection:
            created = create_missing(connection, name, actor)
            row = connection.execute(
                select(TENANTS.c.suspended_at).where(TENANTS.c.name == name).with_for_update()
            ).one()
            if (row.suspended_at is not None) is not suspended:
                _suspend(connection, name, suspended=suspended, actor=actor)
            return _find(connection, name), created


def create_missing(connection: Connection, name: str, actor: str) -> bool:
    """Create a tenant in the transaction of the caller; returns False if it exists.

    Raises InvalidAccount.
    """
    if TENANT.fullmatch(name) is None:
        raise InvalidAccount(f"a tenant's name must match {TENANT.pattern}", value=name)
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    made = connection.execute(
        dialect.insert(TENANTS)
        .values(name=name, created_at=datetime.now(UTC))
        .on_conflict_do_nothing()
        .returning(TENANTS.c.name)
    )
    if made.first() is None:
        return False
    append(connection, actor, "tenant.created", name, after={"suspended": False})
    return True


def _suspend(connection: Connection, name: str, *, suspended: bool, actor: str) -> None:
    connection.execute(
        update(TENANTS)
        .where(TENANTS.c.name == name)
        .values(suspended_at=datetime.now(UTC) if suspended else None)
    )
    append(
        connection,
        actor,
        "tenant.suspended" if suspended else "tenant.resumed",
        name,
        before={"suspended": not suspended},
        after={"suspended": suspended},
    )


# During a deployment, a process of a version without tenants may create keys of a new tenant.
_NAMES = union(select(TENANTS.c.name), select(API_KEYS.c.tenant.label("name"))).subquery("names")


def _tenants() -> Select[tuple[str, datetime, datetime | None, int]]:
    active = API_KEYS.c.revoked_at.is_(None) & (
        API_KEYS.c.expires_at.is_(None) | (API_KEYS.c.expires_at > datetime.now(UTC))
    )
    return (
        select(
            _NAMES.c.name,
            func.coalesce(TENANTS.c.created_at, func.min(API_KEYS.c.created_at)).label(
                "created_at"
            ),
            TENANTS.c.suspended_at,
            func.count(API_KEYS.c.prefix).filter(active).label("active_keys"),
        )
        .select_from(_NAMES)
        .outerjoin(TENANTS, TENANTS.c.name == _NAMES.c.name)
        .outerjoin(API_KEYS, API_KEYS.c.tenant == _NAMES.c.name)
        .group_by(_NAMES.c.name, TENANTS.c.created_at, TENANTS.c.suspended_at)
    )


def exists(connection: Connection, name: str) -> bool:
    """True if the tenant was created or has a key."""
    return (
        connection.execute(select(_NAMES.c.name).where(_NAMES.c.name == name)).first() is not None
    )


def _find(connection: Connection, name: str) -> TenantInfo:
    row = connection.execute(_tenants().having(_NAMES.c.name == name)).one_or_none()
    if row is None:
        raise TenantNotFound("no tenant has this name", value=name)
    return _info(row)


def _info(row: Row[Any]) -> TenantInfo:
    return TenantInfo(row.name, utc(row.created_at), utc_or_none(row.suspended_at), row.active_keys)
